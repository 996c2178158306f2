import { stat } from 'node:fs/promises';
import { hasCode } from '../../std/dray-error.ts';
import { checkPoolName, isPoolName, parseSnapshotName } from '../../pool/pool-names.ts';
import { PoolError } from '../../pool/pool-error.ts';
import { namesIn } from '../../pool/pool.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';
import { openPool } from './open-pool.ts';

/** Where a name ends like a file's: a point, then two to five letters or digits that begin with a letter (`.img`, `.qcow2`). */
const fileEnding = /\.[A-Za-z][A-Za-z0-9]{1,4}$/;

/**
 * Whether a word names a volume of the pool (`data`, `data@monday`) and no path. What contains a slash is a path, and so
 * is everything where no pool is named. With `--pool` on the command line all else is a volume. Where only the environment
 * names a pool, a file that is here is meant before a volume that is not, and what could be either is refused.
 * @param isNew the volume may be one that is to be made
 * @param mayBeGone what is neither a volume nor a file is the path of a file that is gone, also where the pool is not open; a
 *   volume may be damaged
 * @throws {CliError} `name-ambiguous` when there is a file of that name as well, or a new name that ends like a file's
 * @throws {PoolError} `pool-volume-missing` when there is neither; `pool-name` for what `--pool` says is a volume and cannot be one
 */
export async function meansVolume(
  context: CliContext,
  word: string,
  { isNew = false, mayBeGone = false }: { readonly isNew?: boolean; readonly mayBeGone?: boolean } = {},
): Promise<boolean> {
  if (!context.poolNamed || word.includes('/')) return false;
  const [volume = '', ...rest] = word.split('@');
  if (context.poolGiven) {
    if (rest.length === 0 || isNew) checkPoolName(word, 'volume');
    else parseSnapshotName(word);
    return true;
  }
  if (!isPoolName(volume) || rest.length > 1) return false;
  const isFile = await stat(word).then(
    () => true,
    () => false,
  );
  const known = isKnown(context, volume, { mayBeMissing: isFile, mayBeGone });
  if (isNew && rest.length > 0) {
    if (!known) return false;
    throw new CliError('usage', `"${word}" names a snapshot: name a volume, or write ./${word} for a file`);
  }
  if (known && isFile) refuseAmbiguous(context, word, `there is a volume ${volume} and a file ${word}`);
  if (known || isFile || mayBeGone) return known;
  if (rest.length === 1) return true;
  if (!isNew) {
    throw new PoolError('pool-volume-missing', `there is no file ${word}, nor such a volume in the pool`);
  }
  if (fileEnding.test(word)) refuseAmbiguous(context, word, `${word} may be a new file or a new volume`);
  return true;
}

function refuseAmbiguous(context: CliContext, word: string, why: string): never {
  throw new CliError(
    'name-ambiguous',
    `${why}: write ./${word} for the file, or --pool ${context.poolPath()} for the volume`,
  );
}

/**
 * A pool that is not open is no reason to refuse a file, but one to say so when no file is meant. Of a volume that may be
 * gone the name alone is asked for: it may be damaged as well.
 */
function isKnown(
  context: CliContext,
  volume: string,
  { mayBeMissing, mayBeGone }: { readonly mayBeMissing: boolean; readonly mayBeGone: boolean },
): boolean {
  try {
    const pool = openPool(context);
    return mayBeGone ? namesIn(pool.layout.volumes).includes(volume) : pool.findVolume(volume) !== undefined;
  } catch (error) {
    if ((mayBeMissing || mayBeGone) && hasCode(error, 'pool-missing')) return false;
    throw error;
  }
}
