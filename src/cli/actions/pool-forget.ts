import { describeLocation, parseRepositoryUrl } from '../../blobs/location.ts';
import { needingRepositories, releaseNeeds } from '../../pool/needs.ts';
import { snapshotName } from '../../pool/pool-names.ts';
import type { Pool } from '../../pool/pool.ts';
import { readableContents, readableVolumes } from '../../pool/readable.ts';
import { hasCode } from '../../std/dray-error.ts';
import type { Action } from '../command.ts';
import type { PoolForgetOptions } from '../pool-forget.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { openPool } from './open-pool.ts';

/** So many digits of an id, at least, are taken for its beginning. */
const idDigitsMin = 8;

export const poolForget: Action<PoolForgetOptions> = async (context, { repository: named, dryRun }) => {
  const pool = openPool(context);
  const repository = repositoryNamed(context, pool, named);
  if (repository === undefined) {
    throw new CliError('need-missing', `no snapshot in ${pool.layout.root} is needed by backups to that repository`);
  }
  const volumes = readableVolumes(pool).map(({ name }) => name);
  const { signal } = context;
  const released = await releaseNeeds(pool, { repository, volumes, keep: undefined, dryRun, signal });
  const rows = released.map(({ snapshot, removed }) => ({
    snapshot: snapshotName(snapshot),
    removed,
    dryRun,
  }));
  await context.output.list(rows, {
    name: ({ snapshot }) => snapshot,
    columns: [
      { header: dryRun ? 'WOULD RELEASE' : 'RELEASED', value: ({ snapshot }) => snapshot },
      { header: 'REMOVED', value: ({ removed }) => (removed ? 'yes' : 'no') },
    ],
  });
  return exitCodes.done;
};

/**
 * By id, by the very text, or by the place that the text means: a repository that is gone has no other name. Else by the
 * beginning of an id, as `dray pool status` shows it, where that is of one only. A place where one repository took that of
 * another means neither of them: one may be alive.
 */
function repositoryNamed(context: CliContext, pool: Pool, named: string): string | undefined {
  const place = placeOf(context, named);
  const all = needingRepositories(readableContents(pool));
  if (all.some(({ repository }) => repository === named)) return named;
  const there = all.filter(({ url }) => url === named || (place !== undefined && place === placeOf(context, url)));
  if (there.length > 1) {
    const ids = there.map(({ repository }) => repository.slice(0, 12));
    throw new CliError(
      'need-ambiguous',
      `backups to ${ids.length} repositories at ${named} keep snapshots: ${ids.join(', ')}`,
    );
  }
  const begun = all.filter(({ repository }) => named.length >= idDigitsMin && repository.startsWith(named));
  return (there[0] ?? (begun.length === 1 ? begun[0] : undefined))?.repository;
}

function placeOf({ s3Defaults }: CliContext, text: string): string | undefined {
  try {
    // Whether it may be reached without TLS does not matter to what it is called.
    return describeLocation(parseRepositoryUrl(text, { ...s3Defaults, tls: false }));
  } catch (error) {
    if (hasCode(error, 'blob-location')) return undefined;
    throw error;
  }
}
