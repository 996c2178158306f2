/**
 * What an interrupted restore leaves to be gone on from: a small JSON file, replaced atomically, written only after the
 * target was flushed. It speaks of one snapshot and one file; anything else makes it void, which costs time only.
 */
import { readFile, rm } from 'node:fs/promises';

import * as v from 'valibot';

import { atomicWrite, type AtomicWriteOptions } from '../std/atomic-write.ts';
import { natural, parseSchema } from '../std/schema.ts';
import { withVolumeErrors } from '../volume/volume-errors.ts';

export interface RestoreState {
  readonly snapshot: string;
  readonly object: string;
  readonly sizeBytes: number;
  /** The very file that was written (device, inode, birth), or the path of a device. */
  readonly file: string;
  /** Everything before this offset is written and flushed. */
  readonly watermark: number;
}

const schema = v.object({
  version: v.literal(1),
  snapshot: v.string(),
  object: v.string(),
  sizeBytes: natural,
  file: v.string(),
  watermark: natural,
});

/** The state, if it is of this work; undefined when there is none, or it cannot be used. */
export async function readState(
  path: string,
  wanted: Omit<RestoreState, 'watermark' | 'file'> & { readonly file: string | undefined },
): Promise<RestoreState | undefined> {
  const state = await readAnyState(path);
  if (state === undefined || state.watermark > wanted.sizeBytes) return undefined;
  const same =
    state.snapshot === wanted.snapshot &&
    state.object === wanted.object &&
    state.sizeBytes === wanted.sizeBytes &&
    state.file === wanted.file;
  return same ? state : undefined;
}

/** The state, of whatever work it is. */
export async function readAnyState(path: string): Promise<RestoreState | undefined> {
  try {
    return parseSchema(schema, JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}

/** @throws {VolumeError} */
export async function writeState(path: string, state: RestoreState, options: AtomicWriteOptions): Promise<void> {
  await withVolumeErrors(
    () => `note in ${path} how far the restore has come`,
    async () => await atomicWrite(path, Buffer.from(`${JSON.stringify({ version: 1, ...state })}\n`), options),
  );
}

/** @throws {VolumeError} */
export async function forgetState(path: string): Promise<void> {
  await withVolumeErrors(
    () => `remove ${path}, which is needed no more`,
    async () => await rm(path, { force: true }),
  );
}
