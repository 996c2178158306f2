/**
 * A sparse volume with data in regions of 256 MiB, evenly over it, and how an application changes it, as this bench has
 * it. Nine tenths of what changes are runs of 4 MiB, each anywhere in the data: files written anew, logs, tables that are
 * merged, all that file systems place together. One tenth are pages of 16 KiB in two regions: a database. The other pattern
 * spreads pieces of 64 KiB over all the data, which is what costs most. All of it overwrites data, with bytes that never
 * were there.
 */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

import { keystream } from '../../src/cli/actions/tour-image.ts';
import { seededRng, type Rng } from '../../src/std/rng.ts';

export interface SparseVolume {
  readonly sizeBytes: number;
  readonly dataBytes: number;
}

export type ChangePattern = 'as an application' | 'scattered';

const mib = 2 ** 20;
export const regionBytes: number = 256 * mib;
const fillBytes = 8 * mib;
const runBytes = 4 * mib;
const pageBytes = 16 * 1024;
const pieceBytes = 64 * 1024;
const pagesShare = 0.1;
const pageRegions = 2;

/** Writes the data; it is on disk afterwards. */
export function fillVolume(path: string, volume: SparseVolume, seed: string): void {
  const file = openSync(path, 'r+');
  try {
    for (let at = 0; at < volume.dataBytes; at += fillBytes) {
      writeSync(file, keystream(`${seed}/${at}`, fillBytes), 0, fillBytes, offsetOf(volume, at));
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** @returns bytes written; a page may lie in a run. On disk afterwards. */
export function changeVolume(
  path: string,
  volume: SparseVolume,
  { bytes, pattern, seed }: { readonly bytes: number; readonly pattern: ChangePattern; readonly seed: number },
): number {
  const writes =
    pattern === 'scattered' ? scattered(volume, bytes, seededRng(seed)) : applied(volume, bytes, seededRng(seed));
  const file = openSync(path, 'r+');
  try {
    for (const { at, lengthBytes } of writes) {
      writeSync(file, keystream(`${seed}/${at}`, lengthBytes), 0, lengthBytes, offsetOf(volume, at));
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return writes.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
}

interface Piece {
  /** In the data as if it lay together. */
  readonly at: number;
  readonly lengthBytes: number;
}

function scattered({ dataBytes }: SparseVolume, bytes: number, rng: Rng): Piece[] {
  return piecesIn(dataBytes, { lengthBytes: pieceBytes, bytes, rng });
}

function applied({ dataBytes }: SparseVolume, bytes: number, rng: Rng): Piece[] {
  const inPages = bytes * pagesShare;
  const database = Math.min(dataBytes, pageRegions * regionBytes);
  return [
    ...piecesIn(dataBytes, { lengthBytes: runBytes, bytes: bytes - inPages, rng }),
    ...piecesIn(database, { lengthBytes: pageBytes, bytes: inPages, rng }),
  ];
}

/** Different places, each a multiple of the length. */
function piecesIn(
  withinBytes: number,
  { lengthBytes, bytes, rng }: { readonly lengthBytes: number; readonly bytes: number; readonly rng: Rng },
): Piece[] {
  const places = Math.floor(withinBytes / lengthBytes);
  const wanted = Math.min(places, Math.round(bytes / lengthBytes));
  const chosen = new Set<number>();
  while (chosen.size < wanted) chosen.add(Math.floor(rng.uniform() * places));
  return [...chosen].map((place) => ({ at: place * lengthBytes, lengthBytes }));
}

/** Where a byte of the data lies in the volume. No piece crosses the end of a region: all lengths divide it. */
export function offsetOf({ sizeBytes, dataBytes }: SparseVolume, at: number): number {
  const regions = dataBytes / regionBytes;
  const strideBytes = Math.floor(sizeBytes / regions / regionBytes) * regionBytes;
  return Math.floor(at / regionBytes) * strideBytes + (at % regionBytes);
}
