import { mkdir, mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { formatSize } from '../../std/format-size.ts';
import { CliError } from '../shell/cli-error.ts';

export interface TourFolder extends AsyncDisposable {
  readonly path: string;
}

export interface TourFolderOptions {
  /** `undefined`: a new folder in the temporary one. */
  readonly folder: string | undefined;
  readonly keep: boolean;
  /** What the tour will put there at most, bytes. */
  readonly needsBytes: number;
}

/**
 * A folder that holds nothing but the tour's things. Disposing removes them, and the folder too when it was made here; with
 * `keep` all of it stays.
 * @throws {CliError} `usage` when the folder holds something already or is too small
 */
export async function openTourFolder({ folder, keep, needsBytes }: TourFolderOptions): Promise<TourFolder> {
  const { path, made } = await folderAt(folder);
  const remove = async (): Promise<void> => {
    const gone = made ? [path] : (await readdir(path)).map((name) => join(path, name));
    for (const each of gone) await rm(each, { recursive: true, force: true, maxRetries: 3 });
  };
  const { bavail, bsize } = await statfs(path);
  if (bavail * bsize < needsBytes) {
    await remove();
    const has = `${formatSize(bavail * bsize)} free, and the tour needs ${formatSize(needsBytes)}`;
    throw new CliError('usage', `${path} has ${has}; choose a smaller --size or another --folder`);
  }
  return { path, [Symbol.asyncDispose]: async () => (keep ? undefined : await remove()) };
}

async function folderAt(folder: string | undefined): Promise<{ readonly path: string; readonly made: boolean }> {
  if (folder === undefined) return { path: await mkdtemp(join(tmpdir(), 'dray-tour-')), made: true };
  const path = resolve(folder);
  try {
    await mkdir(path);
    return { path, made: true };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  if ((await readdir(path)).length > 0) {
    throw new CliError('usage', `${path} is not empty; the tour needs a folder of its own`);
  }
  return { path, made: false };
}
