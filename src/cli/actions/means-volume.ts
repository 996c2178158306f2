import { stat } from 'node:fs/promises';
import { hasCode } from '../../std/dray-error.ts';
import { isPoolName } from '../../pool/pool-names.ts';
import { PoolError } from '../../pool/pool-error.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';
import { openPool } from './open-pool.ts';

/**
 * Whether a word names a volume of the pool (`data`, `data@monday`) and no path. What contains a slash is a path; without
 * a pool all words are.
 * @param isNew the volume may be one that is to be made
 * @throws {CliError} `usage` when there is a file of that name as well
 * @throws {PoolError} `pool-volume-missing` when there is neither
 */
export async function meansVolume(
  context: CliContext,
  word: string,
  { isNew = false }: { readonly isNew?: boolean } = {},
): Promise<boolean> {
  const [volume = '', ...rest] = word.split('@');
  if (!context.poolNamed || !isPoolName(volume) || rest.length > 1) return false;
  const isFile = await stat(word).then(
    () => true,
    () => false,
  );
  const known = isKnown(context, volume, { mayBeMissing: isFile });
  if (known && isFile) {
    throw new CliError('usage', `there is a volume ${volume} and a file ${word}: write ./${word} for the file`);
  }
  if (!isFile && !known && !isNew && rest.length === 0) {
    throw new PoolError('pool-volume-missing', `there is no file ${word}, nor such a volume in the pool`);
  }
  return !isFile && (known || isNew || rest.length === 1);
}

/** A pool that is not open is no reason to refuse a file, but one to say so when no file is meant. */
function isKnown(context: CliContext, volume: string, { mayBeMissing }: { readonly mayBeMissing: boolean }): boolean {
  try {
    return openPool(context).findVolume(volume) !== undefined;
  } catch (error) {
    if (mayBeMissing && hasCode(error, 'pool-missing')) return false;
    throw error;
  }
}
