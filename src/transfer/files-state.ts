/**
 * What an interrupted restore of files leaves to be gone on from. It says that the folder is ours and of which snapshot;
 * which of its files are whole they tell themselves, by their times. Large files that are not are named here, with how
 * far they are. A kill leaves what was written in the page cache, a crash of the machine may not: so what files say of
 * themselves is believed only in the boot of the system that the state was written in, and read and hashed else.
 */
import { readFile } from 'node:fs/promises';

import * as v from 'valibot';

import { atomicWrite, type AtomicWriteOptions } from '../std/atomic-write.ts';
import { natural, parseSchema } from '../std/schema.ts';

export interface FilesState {
  readonly snapshot: string;
  /** Of the folder that is restored. */
  readonly object: string;
  /** The very folder that is written to: device, inode, birth. */
  readonly folder: string;
  /** True when the folder held nothing before the restore. */
  readonly own: boolean;
  /** Whether owners are restored: what was made without them is not whole with them. */
  readonly owners: boolean;
  /** Begins the names of what is not finished. */
  readonly temporaryPrefix: string;
  /** The kernel's name for this boot. */
  readonly boot: string;
  readonly partial: readonly PartialFile[];
}

export interface PartialFile {
  /** In what is restored. */
  readonly path: string;
  /** Its present name in its folder. */
  readonly name: string;
  /** Everything before this offset is written. */
  readonly watermark: number;
}

/** Large files under way at once; no run has nearly as many. */
const partialsMax = 10_000;

const schema = v.object({
  version: v.literal(1),
  snapshot: v.string(),
  object: v.string(),
  folder: v.string(),
  own: v.boolean(),
  owners: v.boolean(),
  temporaryPrefix: v.pipe(v.string(), v.regex(/^\.dray-[0-9a-f]{16}-$/)),
  boot: v.string(),
  partial: v.pipe(
    v.array(v.object({ path: v.string(), name: v.string(), watermark: natural })),
    v.maxLength(partialsMax),
  ),
});

/** The state, if it is of this work; undefined when there is none, or it cannot be used. */
export async function readFilesState(
  path: string,
  wanted: Pick<FilesState, 'snapshot' | 'object' | 'folder' | 'owners'>,
): Promise<FilesState | undefined> {
  try {
    const state = parseSchema(schema, JSON.parse(await readFile(path, 'utf8')));
    const same = (['snapshot', 'object', 'folder', 'owners'] as const).every((key) => state[key] === wanted[key]);
    return same ? state : undefined;
  } catch {
    return undefined;
  }
}

export async function writeFilesState(path: string, state: FilesState, options: AtomicWriteOptions): Promise<void> {
  await atomicWrite(path, Buffer.from(`${JSON.stringify({ version: 1, ...state })}\n`), options);
}

/** Empty where the kernel does not tell: then no state is of the same boot. */
export async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
}
