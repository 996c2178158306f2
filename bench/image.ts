/** How the measured image changes: in random pieces of 64 KiB, each in a chunk of its own more often than not. */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

import { keystream } from '../src/cli/actions/tour-image.ts';

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
