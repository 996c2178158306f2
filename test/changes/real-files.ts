/** Image files on a real file system, and what really differs between two of them. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, open, readFile, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import { compareExtents, type ExtentDifference } from '../../src/changes/extents.ts';
import { extentEnd, type Extent } from '../../src/volume/extent.ts';

const { signal } = new AbortController();
export const blockBytes = 4096;

/** Blocks of bytes that are nowhere twice. */
export function noise(seed: string, blocks = 1): Buffer {
  const hashes = Array.from({ length: blocks * 128 }, (_, index) =>
    createHash('sha256').update(`${seed} ${index}`).digest(),
  );
  return Buffer.concat(hashes);
}

/** Bytes that take half the room when they are compressed. */
export function letters(lengthBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(lengthBytes);
  let state = seed;
  for (let index = 0; index < lengthBytes; index += 1) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[index] = 97 + ((state >>> 16) % 14);
  }
  return bytes;
}

/** A volume in a folder of a file system that can share blocks. */
export class RealVolume {
  readonly #folder: string;
  readonly path: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, 'volume');
  }

  async resize(sizeBytes: number): Promise<void> {
    await using file = await open(this.path, 'a');
    await file.truncate(sizeBytes);
  }

  /** In the page cache only: nothing is flushed. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await using file = await open(this.path, 'r+');
    await file.write(bytes, 0, bytes.length, offset);
  }

  async flush(): Promise<void> {
    await using file = await open(this.path, 'r+');
    await file.sync();
  }

  /** Bytes of its own, whatever becomes of the volume. @returns its path */
  async copy(name: string): Promise<string> {
    const path = join(this.#folder, name);
    await writeFile(path, await readFile(this.path));
    return path;
  }

  /** A reflink, flushed. @returns its path */
  async snapshot(name: string): Promise<string> {
    const path = join(this.#folder, name);
    await copyFile(this.path, path, constants.COPYFILE_FICLONE_FORCE);
    await using file = await open(path, 'r+');
    await file.sync();
    return path;
  }
}

export async function compareFiles(base: string, target: string): Promise<ExtentDifference> {
  await using before = await open(base);
  await using after = await open(target);
  return await compareOpen(before, after);
}

export async function compareOpen(base: FileHandle, target: FileHandle): Promise<ExtentDifference> {
  const side = async (file: FileHandle) => ({ fd: file.fd, sizeBytes: (await file.stat()).size });
  return await compareExtents(await side(base), await side(target), { signal });
}

export interface Judgement {
  /** Offsets of blocks that differ and were not named. What a test wants is none. */
  readonly missed: readonly number[];
  /** Blocks that differ. */
  readonly changedBlocks: number;
  readonly namedBlocks: number;
}

/** Compares two files byte by byte, in blocks of 4 KiB; past its end a file reads as zeros. */
export async function judge(base: string, target: string, extents: readonly Extent[]): Promise<Judgement> {
  await using before = await open(base);
  await using after = await open(target);
  const { size } = await after.stat();
  const [left, right] = [Buffer.alloc(blockBytes), Buffer.alloc(blockBytes)];
  const missed: number[] = [];
  let changedBlocks = 0;
  let namedBlocks = 0;
  let next = 0;
  for (let offset = 0; offset < size; offset += blockBytes) {
    const end = Math.min(offset + blockBytes, size);
    while (extents[next] !== undefined && extentEnd(extents[next]!) <= offset) next += 1;
    const range = extents[next];
    const isNamed = range !== undefined && range.offset <= offset && extentEnd(range) >= end;
    if (isNamed) namedBlocks += 1;
    left.fill(0);
    right.fill(0);
    await before.read(left, 0, end - offset, offset);
    await after.read(right, 0, end - offset, offset);
    if (left.equals(right)) continue;
    changedBlocks += 1;
    if (!isNamed) missed.push(offset);
  }
  return { missed, changedBlocks, namedBlocks };
}
