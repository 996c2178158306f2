/**
 * A volume to show and to measure things on: half random, a quarter zeros, a quarter text-like, in runs of 8 MiB
 * (random, random, zero, text). The same seed gives the same bytes on any machine. Nothing in it repeats, so that no
 * tool gains by deduplication: a chunk of text is cut from a stream of words that never returns to its state.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';

const runBytes = 8 * 1024 * 1024;
const pattern = ['random', 'random', 'zero', 'text'] as const;

/** The smallest volume that holds something of each kind, bytes. */
export const imageBytesMin: number = pattern.length * runBytes;

export interface ImageOptions {
  readonly sizeBytes: number;
  readonly seed: string;
  /** Write the zeros instead of leaving holes. */
  readonly dense?: boolean;
  readonly signal: AbortSignal;
}

/** Makes (or replaces) the file; it is on disk when this resolves. An abort leaves a part of it. */
export async function writeImage(path: string, options: ImageOptions): Promise<void> {
  const { sizeBytes, seed, dense = false, signal } = options;
  await using file = await open(path, 'w');
  const bytes = Buffer.alloc(runBytes);
  for (let offset = 0, run = 0; offset < sizeBytes; offset += runBytes, run++) {
    signal.throwIfAborted();
    const kind = pattern[run % pattern.length]!;
    if (kind === 'zero' && !dense) continue;
    fill(bytes, kind, `${seed}/${run}`);
    await writeAll(file, bytes.subarray(0, Math.min(runBytes, sizeBytes - offset)), offset);
  }
  await file.truncate(sizeBytes);
  await file.sync();
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

function fill(bytes: Buffer, kind: (typeof pattern)[number], seed: string): void {
  switch (kind) {
    case 'zero':
      bytes.fill(0);
      return;
    case 'random':
      keystream(seed, bytes.length).copy(bytes);
      return;
    case 'text':
      fillText(bytes, seed);
      return;
  }
}

/** AES-256-CTR over zeros: a fast generator of bytes that do not compress. */
export function keystream(seed: string, lengthBytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(lengthBytes));
}

const syllables = 'ba co di fu ge ha in jo ka le mi no or pa qua re si to un ve wa xi yo ze'.split(' ');
/** Words of one to four syllables; frequent ones are short, as in any language. */
const vocabulary = Array.from({ length: 4096 }, (_, word) => {
  const digest = createHash('sha256').update(`word ${word}`).digest();
  const length = 1 + Math.floor(Math.log2(word + 2) / 3.2);
  return Buffer.from(Array.from({ length }, (_unused, at) => syllables[digest[at]! % syllables.length]).join(''));
});

function fillText(bytes: Buffer, seed: string): void {
  const choices = keystream(seed, bytes.length);
  let at = 0;
  for (let word = 0; at < bytes.length; word += 3) {
    // Squaring a uniform number favours the front of the vocabulary.
    const uniform = choices.readUInt16LE(word % (choices.length - 4)) / 65_536;
    const text = vocabulary[Math.floor(uniform * uniform * vocabulary.length)]!;
    at += text.copy(bytes, at);
    if (at < bytes.length) bytes[at++] = choices[(word + 2) % choices.length]! < 12 ? 0x0a : 0x20;
  }
}
