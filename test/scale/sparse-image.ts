/** Images of any size that are nearly all hole: a few pieces of data where trees and lists have their boundaries. */
import assert from 'node:assert/strict';
import { open, stat, type FileHandle } from 'node:fs/promises';

import { DataMap } from '../../src/kernel/holes.ts';
import { seededRng } from '../../src/std/rng.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;
/** Around a node (64 MiB) and a piece of the list (128 GiB). */
const boundaries = [0, mib, 64 * mib, 128 * gib, 256 * gib, 8192 * gib];

interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The data of the image of a size: at boundaries, at random places, and in its last bytes. */
function* piecesOf(sizeBytes: number): Generator<Piece> {
  const rng = seededRng(sizeBytes / mib);
  const size = (): number => 1 + Math.floor(rng.uniform() * 1.5 * mib);
  for (const boundary of boundaries) {
    const offset = Math.max(0, boundary - 5000);
    if (offset < sizeBytes - 8 * mib) yield { offset, bytes: rng.bytes(size()) };
  }
  for (let index = 0; index < 24; index += 1) {
    const offset = Math.floor(rng.uniform() * (sizeBytes - 8 * mib));
    yield { offset, bytes: rng.bytes(size()) };
  }
  yield { offset: sizeBytes - 12_345, bytes: rng.bytes(12_345) };
}

export async function writeSparseImage(path: string, sizeBytes: number): Promise<void> {
  await using file = await open(path, 'wx');
  await file.truncate(sizeBytes);
  for (const { offset, bytes } of piecesOf(sizeBytes)) await file.write(bytes, 0, bytes.length, offset);
  await file.sync();
}

/** Compares all that either file may hold besides zeros, and that the second takes little more room. */
export async function assertSameSparse(path: string, original: string, signal: AbortSignal): Promise<void> {
  const [found, wanted] = [await stat(path), await stat(original)];
  assert.equal(found.size, wanted.size);
  assert.ok(found.blocks * 512 < wanted.blocks * 512 + 64 * mib, `${found.blocks * 512} bytes on disk`);
  await using file = await open(path);
  await using other = await open(original);
  let compared = 0;
  for (const { fd } of [file, other]) {
    for await (const { offset, lengthBytes } of new DataMap(fd).ranges(
      { offset: 0, lengthBytes: found.size },
      { signal },
    )) {
      for (let done = 0; done < lengthBytes; done += 4 * mib) {
        const length = Math.min(4 * mib, lengthBytes - done);
        assert.ok((await read(file, offset + done, length)).equals(await read(other, offset + done, length)));
        compared += length;
      }
    }
  }
  assert.ok(compared > 2 * mib);
}

async function read(file: FileHandle, offset: number, lengthBytes: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(lengthBytes), 0, lengthBytes, offset);
  assert.equal(bytesRead, lengthBytes);
  return buffer;
}
