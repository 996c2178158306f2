/**
 * A volume of a pool into a repository. What holds at each moment:
 *
 * 1. The snapshot of this run is made with its need in one step, and held (`take-pool-snapshot.ts`). From here on nothing
 *    removes it by itself.
 * 2. A run that was killed has left its snapshot in the pool, with the need of this repository: it is backed up first,
 *    from its checkpoint on, so that nothing that was stored is stored again.
 * 3. While it is read, it and the base are locked against removal by anybody.
 * 4. Only when the repository's snapshot is durable are older needs of this repository released, and the snapshots that
 *    backups made and nothing needs any more removed. Killed before: the next run releases them.
 */
import { PoolBases } from '../changes/pool-bases.ts';
import { poolChanges } from '../changes/pool-changes.ts';
import { holdSnapshot } from '../pool/hold-image.ts';
import { isUnheld, releaseNeeds } from '../pool/needs.ts';
import { snapshotName } from '../pool/pool-names.ts';
import type { Pool, PoolSnapshot } from '../pool/pool.ts';
import { readableSnapshots } from '../pool/readable.ts';
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { listSnapshots } from '../repository/manifest/snapshot.ts';
import { repositoryId } from '../repository/repository-id.ts';
import type { Identity, Repository } from '../repository/repository.ts';
import { decodeVolumeTags } from '../repository/tree/volume-tags.ts';
import type { Clock } from '../std/clock.ts';
import { openSource } from '../volume/file-source.ts';
import { backup } from './backup.ts';
import type { BackupRequest, BackupResult } from './backup-request.ts';
import { poolLineage } from './pool-lineage.ts';
import { poolOrigin, poolVolumeSource } from './pool-origin.ts';
import type { SnapshotTaking, TakenSnapshot } from './take-pool-snapshot.ts';

export interface PoolBackupParts {
  readonly repository: Repository;
  readonly pool: Pool;
  readonly clock: Clock;
  readonly identity: Identity;
  /** The caller's to dispose of. */
  readonly taking: SnapshotTaking;
}

/** What the run itself settles is left out. */
export type PoolBackupRequest = Omit<
  BackupRequest,
  'origin' | 'lineage' | 'sourceId' | 'allowChanges' | 'trustMtime' | 'offers' | 'sourceTags'
>;

export interface PoolBackupResult extends BackupResult {
  readonly poolSnapshot: PoolSnapshot;
  readonly frozenMs: number;
  /** Pool snapshots that this run has removed, as `VOLUME@NAME`. */
  readonly removed: readonly string[];
  /** The snapshot of an interrupted run, which was completed first. */
  readonly completed: BackupResult | undefined;
}

/** @throws {PoolError}, {BackupError} `degraded`, and all that `backup` throws */
export async function backupVolume(parts: PoolBackupParts, request: PoolBackupRequest): Promise<PoolBackupResult> {
  const { repository, taking } = parts;
  const { signal } = request;
  const before = await repository.manifests.load({ signal });
  const taken = await taking.taken();
  const run = new PoolBackup(parts, request, taken);
  const { set, interrupted } = await run.look(before);
  const completed = interrupted && (await run.complete(interrupted, set));
  return await taking.whileStored(async () => await run.store(completed === undefined ? set : undefined, completed));
}

class PoolBackup {
  readonly #parts: PoolBackupParts;
  readonly #request: PoolBackupRequest;
  readonly #taken: TakenSnapshot;
  readonly #volume: string;

  constructor(parts: PoolBackupParts, request: PoolBackupRequest, taken: TakenSnapshot) {
    this.#parts = parts;
    this.#request = request;
    this.#taken = taken;
    this.#volume = taken.snapshot.volume;
  }

  /**
   * What other runs of this volume and repository have left. The manifests are read anew when there is a newer snapshot than
   * they know of: its run may have been killed, and it may have ended since they were read, and removed the base that they name.
   */
  async look(
    before: ManifestSet,
  ): Promise<{ readonly set: ManifestSet; readonly interrupted: PoolSnapshot | undefined }> {
    const { repository } = this.#parts;
    const { signal } = this.#request;
    const newest = this.#left().at(-1);
    // What is older than one that is stored is not gone on with.
    if (newest === undefined || this.#storedIn(before).has(newest.record.id)) {
      return { set: before, interrupted: undefined };
    }
    await repository.index.refresh({ signal });
    const set = await repository.manifests.load({ signal });
    return { set, interrupted: this.#taken.isNew ? await this.#interrupted(set) : undefined };
  }

  /** The newest snapshot that a killed run has left, and that is newer than what is stored. */
  async #interrupted(set: ManifestSet): Promise<PoolSnapshot | undefined> {
    const { pool } = this.#parts;
    const { signal } = this.#request;
    const stored = this.#storedIn(set);
    for (const snapshot of this.#left().toReversed()) {
      if (stored.has(snapshot.record.id)) return undefined;
      if (await isUnheld(pool, snapshot, { signal })) return snapshot;
    }
    return undefined;
  }

  /** Snapshots that other runs of this volume and repository have made and not released, oldest first. */
  #left(): PoolSnapshot[] {
    const { repository, pool } = this.#parts;
    const id = repositoryId(repository.opened);
    return readableSnapshots(pool, this.#volume)
      .filter(({ record }) => record.madeBy === 'backup' && record.id !== this.#taken.snapshot.record.id)
      .filter(({ record }) => record.needs.some((need) => need.repository === id));
  }

  /** Ids of the pool's snapshots that the repository has whole. */
  #storedIn(set: ManifestSet): ReadonlySet<string | undefined> {
    const { snapshots } = listSnapshots(set, poolVolumeSource(this.#parts.pool, this.#volume));
    const whole = snapshots.filter(({ incomplete }) => incomplete === undefined);
    return new Set(whole.map(({ tags }) => decodeVolumeTags(tags).poolSnapshot));
  }

  async complete(snapshot: PoolSnapshot, set: ManifestSet): Promise<BackupResult> {
    const { pool } = this.#parts;
    const { signal } = this.#request;
    using _held = await holdSnapshot(pool, snapshot, { signal });
    const result = await this.#backUp(snapshot, set);
    await this.#release(snapshot);
    return result;
  }

  async store(set: ManifestSet | undefined, completed: BackupResult | undefined): Promise<PoolBackupResult> {
    const { snapshot, frozenMs } = this.#taken;
    const result = await this.#backUp(snapshot, set);
    const removed = await this.#release(snapshot);
    return { ...result, poolSnapshot: snapshot, frozenMs, completed, removed };
  }

  /** Of a snapshot that is held. */
  async #backUp(snapshot: PoolSnapshot, set: ManifestSet | undefined): Promise<BackupResult> {
    const { repository, pool, clock, identity } = this.#parts;
    const { record } = snapshot;
    await using source = await openSource(snapshot.image, { signal: this.#request.signal });
    const bases = new PoolBases(pool, snapshot);
    const own = {
      origin: poolOrigin(this.#parts, this.#volume),
      lineage: poolLineage(bases),
      sourceId: `pool:${record.id}`,
      allowChanges: false,
      trustMtime: false,
      offers: [poolChanges(bases)],
      sourceTags: {
        pool: pool.id,
        poolVolume: record.volumeId,
        poolSnapshot: record.id,
        consistency: record.consistency,
        sectorBytes: record.sectorBytes,
      },
    };
    return await backup({ repository, source, clock, identity, manifests: set }, { ...this.#request, ...own });
  }

  async #release(keep: PoolSnapshot): Promise<string[]> {
    const { pool, repository } = this.#parts;
    const { signal } = this.#request;
    const which = { repository: repositoryId(repository.opened), volumes: [this.#volume], keep, signal };
    const released = await releaseNeeds(pool, which);
    return released.filter(({ removed }) => removed).map(({ snapshot }) => snapshotName(snapshot));
  }
}
