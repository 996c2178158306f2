/** Volumes on their way out. Snapshots go with their volume only when that is said, and not those that are needed. */
import { existsSync } from 'node:fs';
import { hasCode } from '../std/dray-error.ts';
import { faultsOfVolume, refuseForeign } from './find-faults.ts';
import { claimImage } from './hold-image.ts';
import { PoolError, refusal } from './pool-error.ts';
import { isPoolName, snapshotName } from './pool-names.ts';
import { describeNeed } from './pool-records.ts';
import { namesIn, type Pool, type PoolSnapshot } from './pool.ts';
import { readableSnapshots } from './readable.ts';
import { giveBack, takeOut } from './staging.ts';

export interface DeleteVolumeOptions {
  /** Its snapshots as well. */
  readonly withSnapshots: boolean;
  /** Also those that a later step needs, and what is damaged. */
  readonly force: boolean;
  /** Look at everything, and delete nothing. */
  readonly dryRun?: boolean;
  readonly signal: AbortSignal;
}

/**
 * Gone, durably, when resolved. Without `force` nothing goes of which nobody can tell what needs it.
 * @throws {PoolError} `pool-in-use`, `pool-has-snapshots`, `pool-needed`, `pool-foreign-file`, `pool-damaged`
 */
export async function deleteVolume(pool: Pool, name: string, options: DeleteVolumeOptions): Promise<void> {
  const { dryRun = false, signal } = options;
  const gone = await pool.change(
    async () => {
      const image = liveImageOf(pool, name, options);
      const snapshots = snapshotsOf(pool, name, options);
      using claims = new DisposableStack();
      if (image !== undefined) claims.use(await claimImage(pool, { image, what: `volume ${name}` }, { signal }));
      refuseWithSnapshots(name, snapshots, options);
      refuseForeign(`volume ${name}`, faultsOfVolume(pool, name));
      for (const { record, image: its, ...named } of snapshots) {
        const what = snapshotName(named);
        const [need] = record?.needs ?? [];
        // A base that a backup made for itself is of no use without its volume.
        if (need !== undefined && record?.madeBy === 'user' && !options.force) {
          throw refusal('pool-needed', { what, reason: `needed by: ${describeNeed(need)}` });
        }
        if (existsSync(its)) claims.use(await claimImage(pool, { image: its, what }, { signal }));
      }
      return dryRun ? undefined : await takeOut(pool, pool.layout.volume(name));
    },
    { signal },
  );
  if (gone !== undefined) await giveBack(gone, `volume ${name}`);
}

/** Without record: it cannot be read. */
type Found = Omit<PoolSnapshot, 'record'> & Partial<Pick<PoolSnapshot, 'record'>>;

/** Oldest first, those that cannot be read at the end. */
function snapshotsOf(pool: Pool, volume: string, { force }: DeleteVolumeOptions): Found[] {
  if (!force) return pool.snapshots(volume);
  const readable = readableSnapshots(pool, volume);
  const known = new Set(readable.map(({ snapshot }) => snapshot));
  const damaged = namesIn(pool.layout.snapshots(volume)).filter((snapshot) => !known.has(snapshot));
  return [
    ...readable,
    ...damaged.map((snapshot) => ({ volume, snapshot, image: pool.layout.snapshotImage(volume, snapshot) })),
  ];
}

function refuseWithSnapshots(name: string, snapshots: readonly Found[], { withSnapshots }: DeleteVolumeOptions): void {
  const own = snapshots.filter(({ record }) => record?.madeBy !== 'backup');
  if (own.length === 0 || withSnapshots) return;
  throw new PoolError(
    'pool-has-snapshots',
    `volume ${name} has snapshots: ${own.length}, the newest ${own.at(-1)?.snapshot}`,
  );
}

/** undefined for a volume of which only snapshots are left. @throws {PoolError} `pool-volume-missing`, `pool-damaged` */
function liveImageOf(pool: Pool, name: string, { force }: DeleteVolumeOptions): string | undefined {
  const { layout } = pool;
  if (isPoolName(name) && existsSync(layout.snapshots(name)) && !existsSync(layout.live(name))) return undefined;
  try {
    return pool.volume(name).image;
  } catch (error) {
    if (!force || !hasCode(error, 'pool-damaged')) throw error;
    return existsSync(layout.image(name)) ? layout.image(name) : undefined;
  }
}
