/**
 * A volume of a pool into a repository. What holds at each moment:
 *
 * 1. A run that was killed has left its snapshot in the pool, with the need of this repository: it is backed up first,
 *    from its checkpoint on, so that nothing that was stored is stored again.
 * 2. The snapshot of this run is made with its need in one step. From here on nothing removes it by itself.
 * 3. While it is read, it and the base are locked against removal by anybody.
 * 4. Only when the repository's snapshot is durable are older needs of this repository released, and the snapshots that
 *    backups made and nothing needs any more removed. Killed before: the next run releases them.
 */
import { poolChanges } from '../changes/pool-changes.ts';
import { holdSnapshot } from '../pool/hold-snapshot.ts';
import { createNamedByTime } from '../pool/name-by-time.ts';
import { addNeed, isUnheld, releaseNeeds, withdrawNeed } from '../pool/needs.ts';
import { snapshotName } from '../pool/pool-names.ts';
import type { Need } from '../pool/pool-records.ts';
import type { Pool, PoolSnapshot } from '../pool/pool.ts';
import { readableSnapshots } from '../pool/readable.ts';
import { droppedText } from '../pool/room.ts';
import { listSnapshots } from '../repository/manifest/snapshot.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import type { Identity, Repository } from '../repository/repository.ts';
import { decodeVolumeTags } from '../repository/tree/volume-tags.ts';
import { hasCode } from '../std/dray-error.ts';
import type { Clock } from '../std/clock.ts';
import { openSource } from '../volume/file-source.ts';
import { backup } from './backup.ts';
import type { BackupRequest, BackupResult } from './backup-request.ts';

export interface PoolBackupParts {
  readonly repository: Repository;
  readonly pool: Pool;
  readonly clock: Clock;
  readonly identity: Identity;
}

/** What the run itself settles is left out. */
export interface PoolBackupRequest extends Omit<
  BackupRequest,
  'origin' | 'sourceId' | 'allowChanges' | 'trustMtime' | 'offers' | 'sourceTags'
> {
  readonly volume: string;
  /** A snapshot of the volume that is there; absent: a new one is made. */
  readonly snapshot: string | undefined;
  /** For the message of what needs the snapshot; without secrets. */
  readonly url: string;
  readonly freezeBoundMs: number;
}

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
  const { pool, clock } = parts;
  const { volume, snapshot, signal } = request;
  pool.volume(volume);
  const need: Need = {
    kind: 'backup',
    repository: repositoryId(parts.repository),
    url: request.url,
    since: new Date(clock.nowMs()).toISOString(),
  };
  const run = new PoolBackup(parts, request, need);
  if (snapshot !== undefined) {
    const named = pool.snapshot(volume, snapshot);
    const isBase = named.record.needs.some(({ repository }) => repository === need.repository);
    await addNeed(pool, named, { need, signal });
    return await run.unlessDegraded(isBase ? undefined : named, async () => await run.store(named, { frozenMs: 0 }));
  }
  const interrupted = await run.interrupted();
  const completed = interrupted && (await run.store(interrupted, { frozenMs: 0 }));
  const { made, frozenMs } = await run.makeSnapshot();
  return await run.unlessDegraded(made, async () => await run.store(made, { frozenMs, completed }));
}

/** What a repository is known by in the needs of a pool. */
export function repositoryId({ opened }: Repository): string {
  return Buffer.from(opened.uniqueId).toString('hex');
}

class PoolBackup {
  readonly #parts: PoolBackupParts;
  readonly #request: PoolBackupRequest;
  readonly #need: Need;

  constructor(parts: PoolBackupParts, request: PoolBackupRequest, need: Need) {
    this.#parts = parts;
    this.#request = request;
    this.#need = need;
  }

  /** The newest snapshot that a killed run of this volume and repository has left, and that is newer than what is stored. */
  async interrupted(): Promise<PoolSnapshot | undefined> {
    const { repository, pool } = this.#parts;
    const { volume, signal } = this.#request;
    const mine = readableSnapshots(pool, volume)
      .filter(({ record }) => record.madeBy === 'backup')
      .filter(({ record }) => record.needs.some((need) => need.repository === this.#need.repository));
    if (mine.length === 0) return undefined;
    const set = await repository.manifests.load({ signal });
    const stored = new Set(
      listSnapshots(set, this.#origin())
        .snapshots.filter(({ incomplete }) => incomplete === undefined)
        .map(({ tags }) => decodeVolumeTags(tags).poolSnapshot),
    );
    for (const snapshot of mine.toReversed()) {
      if (stored.has(snapshot.record.id)) return undefined;
      if (await isUnheld(pool, snapshot, { signal })) return snapshot;
    }
    return undefined;
  }

  async makeSnapshot(): Promise<{ readonly made: PoolSnapshot; readonly frozenMs: number }> {
    const { volume, freezeBoundMs, onWarning, signal } = this.#request;
    const { snapshots, frozenMs } = await createNamedByTime(this.#parts.pool, {
      volumes: [volume],
      prefix: 'backup-',
      madeBy: 'backup',
      needs: [this.#need],
      freezeBoundMs,
      onDropped: (base) => onWarning(droppedText(base)),
      signal,
    });
    return { made: snapshots[0]!, frozenMs };
  }

  async store(
    snapshot: PoolSnapshot,
    { frozenMs, completed }: { readonly frozenMs: number; readonly completed?: BackupResult | undefined },
  ): Promise<PoolBackupResult> {
    const result = await this.#storeHeld(snapshot);
    const removed = await this.#release(snapshot);
    return { ...result, poolSnapshot: snapshot, frozenMs, completed, removed };
  }

  /** A run that `strict` refused before it began leaves nothing of its own: neither its snapshot nor its need. */
  async unlessDegraded<T>(added: PoolSnapshot | undefined, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const { signal } = this.#request;
      if (hasCode(error, 'degraded') && added !== undefined) {
        await withdrawNeed(this.#parts.pool, added, { repository: this.#need.repository, signal });
      }
      throw error;
    }
  }

  async #storeHeld(snapshot: PoolSnapshot): Promise<BackupResult> {
    const { repository, pool, clock, identity } = this.#parts;
    const { signal } = this.#request;
    const { record } = snapshot;
    using _held = await holdSnapshot(pool, snapshot, { signal });
    await using source = await openSource(snapshot.image, { signal });
    const own = {
      origin: this.#origin(),
      sourceId: `pool:${record.id}`,
      allowChanges: false,
      trustMtime: false,
      offers: [poolChanges(pool, snapshot)],
      sourceTags: {
        pool: pool.id,
        poolVolume: record.volumeId,
        poolSnapshot: record.id,
        consistency: record.consistency,
        sectorBytes: record.sectorBytes,
      },
    };
    return await backup({ repository, source, clock, identity }, { ...this.#request, ...own });
  }

  async #release(keep: PoolSnapshot): Promise<string[]> {
    const { pool } = this.#parts;
    const { volume, signal } = this.#request;
    const { repository } = this.#need;
    const released = await releaseNeeds(pool, { repository, volumes: [volume], keep, signal });
    return released.filter(({ removed }) => removed).map(({ snapshot }) => nameOf(snapshot));
  }

  #origin(): SnapshotSource {
    return poolOrigin(this.#parts, this.#request.volume);
  }
}

/** `POOL-ID@HOST:/VOLUME`: the same volume on whatever path its pool is mounted. */
export function poolOrigin(
  { pool, identity }: Pick<PoolBackupParts, 'pool' | 'identity'>,
  volume: string,
): SnapshotSource {
  return { userName: pool.id, host: identity.host, path: `/${volume}` };
}

function nameOf({ volume, name }: PoolSnapshot): string {
  return snapshotName({ volume, snapshot: name });
}
