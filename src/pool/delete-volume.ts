/** Volumes on their way out. Snapshots go with their volume only when that is said, and not those that are needed. */
import { statSync } from 'node:fs';
import { claimImage } from './hold-snapshot.ts';
import { PoolError } from './pool-error.ts';
import { isPoolName, snapshotName } from './pool-names.ts';
import { describeNeed } from './pool-records.ts';
import type { Pool } from './pool.ts';
import { removeTree, takeOut } from './staging.ts';

export interface DeleteVolumeOptions {
  /** Its snapshots as well. */
  readonly withSnapshots: boolean;
  /** Also those that a later step needs. */
  readonly force: boolean;
  /** Look at everything, and delete nothing. */
  readonly dryRun?: boolean;
  readonly signal: AbortSignal;
}

/** Gone, durably, when resolved. @throws {PoolError} `pool-in-use`, `pool-has-snapshots`, `pool-needed` */
export async function deleteVolume(pool: Pool, name: string, options: DeleteVolumeOptions): Promise<void> {
  const { withSnapshots, force, dryRun = false, signal } = options;
  const gone = await pool.change(
    async () => {
      const image = liveImageOf(pool, name);
      const snapshots = pool.snapshots(name);
      using claims = new DisposableStack();
      if (image !== undefined) claims.use(await claimImage(pool, { image, what: `volume ${name}` }, { signal }));
      const own = snapshots.filter(({ record }) => record.madeBy === 'user');
      if (own.length > 0 && !withSnapshots) {
        throw new PoolError(
          'pool-has-snapshots',
          `volume ${name} has snapshots: ${own.length}, the newest ${own.at(-1)?.name}`,
        );
      }
      for (const { name: snapshot, record, image: its } of snapshots) {
        const what = snapshotName({ volume: name, snapshot });
        const [need] = record.needs;
        // A base that a backup made for itself is of no use without its volume.
        if (need !== undefined && record.madeBy === 'user' && !force) {
          throw new PoolError('pool-needed', `${what} is needed by: ${describeNeed(need)}`);
        }
        claims.use(await claimImage(pool, { image: its, what }, { signal }));
      }
      return dryRun ? undefined : await takeOut(pool, pool.layout.volume(name));
    },
    { signal },
  );
  if (gone !== undefined) await removeTree(gone);
}

/** undefined for a volume of which only snapshots are left. @throws {PoolError} `pool-volume-missing`, `pool-damaged` */
function liveImageOf(pool: Pool, name: string): string | undefined {
  const { layout } = pool;
  const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;
  if (isPoolName(name) && isThere(layout.snapshots(name)) && !isThere(layout.live(name))) return undefined;
  return pool.volume(name).image;
}
