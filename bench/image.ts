/**
 * The image that everything is measured on: half random, a quarter zeros, a quarter text-like, in runs of 8 MiB
 * (random, random, zero, text). The same seed gives the same bytes on any machine. Nothing in it repeats, so that no
 * tool gains by deduplication: a chunk of text is cut from a stream of words that never returns to its state.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';

export const runBytes: number = 8 * 1024 * 1024;
const pattern = ['random', 'random', 'zero', 'text'] as const;

export interface ImageOptions {
  readonly sizeBytes: number;
  readonly seed: string;
  /** Write the zeros instead of leaving holes. */
  readonly dense?: boolean;
}

export function writeImage(path: string, { sizeBytes, seed, dense = false }: ImageOptions): void {
  const file = openSync(path, 'w');
  try {
    const bytes = Buffer.alloc(runBytes);
    for (let offset = 0, run = 0; offset < sizeBytes; offset += runBytes, run++) {
      const kind = pattern[run % pattern.length]!;
      const lengthBytes = Math.min(runBytes, sizeBytes - offset);
      if (kind === 'zero' && !dense) continue;
      fill(bytes, kind, `${seed}/${run}`);
      writeSync(file, bytes, 0, lengthBytes, offset);
    }
    ftruncateSync(file, sizeBytes);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Overwrites `share` of the image in random pieces of 64 KiB. @returns the extents, sorted, as a change list has them */
export function changeImage(
  path: string,
  options: { readonly sizeBytes: number; readonly share: number; readonly seed: string },
): { offset: number; length: number }[] {
  const pieceBytes = 64 * 1024;
  const pieces = Math.floor(options.sizeBytes / pieceBytes);
  const wanted = Math.round(pieces * options.share);
  const numbers = keystream(`${options.seed}/positions`, wanted * 8);
  const chosen = new Set<number>();
  for (let at = 0; at < numbers.length; at += 4) chosen.add(numbers.readUInt32LE(at) % pieces);
  const sorted = [...chosen].slice(0, wanted).sort((a, b) => a - b);
  const file = openSync(path, 'r+');
  try {
    for (const piece of sorted) {
      writeSync(file, keystream(`${options.seed}/${piece}`, pieceBytes), 0, pieceBytes, piece * pieceBytes);
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return sorted.map((piece) => ({ offset: piece * pieceBytes, length: pieceBytes }));
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
function keystream(seed: string, lengthBytes: number): Buffer {
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
