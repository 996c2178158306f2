/** Volumes made from a few numbers: pieces of random bytes, text, zeros written as data, and holes in between. */
import { createCipheriv, createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { extent } from '../../src/volume/extent.ts';
import { openSource } from '../../src/volume/file-source.ts';

const never = new AbortController().signal;

export interface VolumePiece {
  readonly offset: number;
  readonly lengthBytes: number;
  /** `zeros` are written, so that they take room as data does. */
  readonly kind: 'random' | 'text' | 'zeros';
  readonly seed: number;
}

export interface VolumeModel {
  readonly sizeBytes: number;
  /** In order of writing; what lies past the end is left out. */
  readonly pieces: readonly VolumePiece[];
}

const stepBytes = 4 * 1024 * 1024;

/** Makes the image anew, sparse. */
export async function writeVolume(path: string, { sizeBytes, pieces }: VolumeModel): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(sizeBytes);
  for (const piece of pieces) await writePiece(file, piece, sizeBytes);
}

/** Changes an image that exists; its size becomes `sizeBytes`. */
export async function changeVolume(path: string, { sizeBytes, pieces }: VolumeModel): Promise<void> {
  await using file = await open(path, 'r+');
  await file.truncate(sizeBytes);
  for (const piece of pieces) await writePiece(file, piece, sizeBytes);
}

async function writePiece(file: FileHandle, piece: VolumePiece, sizeBytes: number): Promise<void> {
  const lengthBytes = Math.min(piece.lengthBytes, Math.max(0, sizeBytes - piece.offset));
  const bytes = pieceBytes(piece);
  for (let done = 0; done < lengthBytes; done += stepBytes) {
    await file.write(bytes(Math.min(stepBytes, lengthBytes - done)), 0, undefined, piece.offset + done);
  }
}

/** A source of the piece's bytes, each call the next ones. */
function pieceBytes({ kind, seed }: VolumePiece): (lengthBytes: number) => Buffer {
  if (kind === 'zeros') return (lengthBytes) => Buffer.alloc(lengthBytes);
  const key = Buffer.alloc(16);
  key.writeUInt32LE(seed >>> 0);
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  if (kind === 'random') return (lengthBytes) => stream.update(Buffer.alloc(lengthBytes));
  return (lengthBytes) => {
    // Letters a to p: half as long when it is compressed.
    const bytes = stream.update(Buffer.alloc(lengthBytes));
    for (let i = 0; i < bytes.length; i++) bytes[i] = 97 + (bytes[i]! & 15);
    return bytes;
  };
}

/**
 * Where two files differ first, or undefined when they are equal, lengths included; with `lengthBytes` only so much of
 * them is compared, such as of a device that is larger than what is on it.
 */
export async function firstDifference(
  left: string,
  right: string,
  { lengthBytes = Infinity }: { readonly lengthBytes?: number } = {},
): Promise<number | undefined> {
  await using a = await open(left);
  await using b = await open(right);
  const [one, two] = [Buffer.allocUnsafe(stepBytes), Buffer.allocUnsafe(stepBytes)];
  for (let offset = 0; ;) {
    const step = Math.min(stepBytes, lengthBytes - offset);
    if (step <= 0) return undefined;
    const [x, y] = await Promise.all([a.read(one, 0, step, offset), b.read(two, 0, step, offset)]);
    const common = Math.min(x.bytesRead, y.bytesRead);
    if (one.compare(two, 0, common, 0, common) !== 0) {
      return offset + one.subarray(0, common).findIndex((byte, index) => byte !== two[index]);
    }
    if (x.bytesRead !== y.bytesRead) return offset + common;
    if (common === 0) return undefined;
    offset += common;
  }
}

/** Bytes of the 64 KiB blocks of a file that hold anything but zeros: what a sparse copy has to allocate. */
export async function dataBytes(path: string): Promise<number> {
  const blockBytes = 64 * 1024;
  await using file = await open(path);
  const buffer = Buffer.alloc(stepBytes);
  const zeros = Buffer.alloc(blockBytes);
  let bytes = 0;
  for (let offset = 0; ; offset += stepBytes) {
    const { bytesRead } = await file.read(buffer, 0, stepBytes, offset);
    if (bytesRead === 0) return bytes;
    for (let start = 0; start < bytesRead; start += blockBytes) {
      const end = Math.min(start + blockBytes, bytesRead);
      if (buffer.compare(zeros, 0, end - start, start, end) !== 0) bytes += blockBytes;
    }
  }
}

/** Whether two sparse files are equal, without reading what is a hole in both. */
export async function sameData(left: string, right: string): Promise<boolean> {
  const [a, b] = await Promise.all([dataDigest(left), dataDigest(right)]);
  return a === b;
}

/** A digest of size and data. Zeros in holes and zeros as data are the same. */
export async function dataDigest(path: string): Promise<string> {
  const blockBytes = 64 * 1024;
  await using source = await openSource(path, { signal: never, pastCache: false });
  const digest = createHash('sha256').update(`${source.sizeBytes}`);
  const buffer = Buffer.alloc(blockBytes);
  const zeros = Buffer.alloc(blockBytes);
  let next = 0;
  for await (const { offset, lengthBytes } of source.dataExtents(extent(0, source.sizeBytes), { signal: never })) {
    const end = Math.min(Math.ceil((offset + lengthBytes) / blockBytes) * blockBytes, source.sizeBytes);
    for (next = Math.max(next, offset - (offset % blockBytes)); next < end; next += blockBytes) {
      const range = extent(next, Math.min(blockBytes, source.sizeBytes - next));
      await source.read(range, buffer, { signal: never });
      const block = buffer.subarray(0, range.lengthBytes);
      if (block.compare(zeros, 0, block.length) !== 0) digest.update(`${next}:`).update(block);
    }
  }
  return digest.digest('hex');
}
