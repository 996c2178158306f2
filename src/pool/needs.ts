/**
 * Which snapshots a later step needs. A backup writes its need before it reads a byte, so that what the next increment
 * is built on cannot be removed in between; it releases the need of the base before only when its own snapshot is in
 * the repository. A need names the repository by its own id, not by where it lies.
 */
import { atomicWrite } from '../std/atomic-write.ts';
import { claimSnapshot, isHeldBack, outOfSightUnlessHeldBack } from './delete-snapshot.ts';
import type { SnapshotName } from './pool-names.ts';
import { encodeRecord, type Need, type SnapshotRecord } from './pool-records.ts';
import type { Pool, PoolSnapshot } from './pool.ts';
import { readableSnapshots, type VolumeContents } from './readable.ts';
import { giveBack } from './staging.ts';

interface SignalOption {
  readonly signal: AbortSignal;
}

export interface NeedingRepository extends Pick<Need, 'repository' | 'url'> {
  /** How many it needs. */
  readonly snapshots: number;
}

export interface ReleasedSnapshot {
  readonly snapshot: PoolSnapshot;
  readonly removed: boolean;
}

/** Who needs snapshots of a pool. */
export function needingRepositories(contents: readonly VolumeContents[]): NeedingRepository[] {
  const found = new Map<string, NeedingRepository>();
  for (const { record } of contents.flatMap(({ snapshots }) => snapshots)) {
    for (const { repository, url } of record.needs) {
      const snapshots = (found.get(repository)?.snapshots ?? 0) + 1;
      found.set(repository, { repository, url, snapshots });
    }
  }
  return [...found.values()];
}

/** Durable when resolved. @throws {PoolError} `pool-snapshot-missing` */
export async function addNeed(
  pool: Pool,
  { volume, snapshot: name }: SnapshotName,
  { need, signal }: SignalOption & { readonly need: Need },
): Promise<void> {
  await pool.change(
    async () => {
      const snapshot = pool.snapshot(volume, name);
      const others = needsWithout(snapshot.record, need.repository);
      await replaceNeeds(pool, snapshot, { needs: [...others, need], signal });
    },
    { signal },
  );
}

/** Takes back what `addNeed`, or the making of the snapshot, has put down; what only a backup wanted goes. */
export async function withdrawNeed(
  pool: Pool,
  { volume, snapshot: name }: SnapshotName,
  { repository, signal }: SignalOption & { readonly repository: string },
): Promise<void> {
  const gone = await pool.change(async () => await release(pool, pool.snapshot(volume, name), { repository, signal }), {
    signal,
  });
  if (gone !== undefined) await giveBack(gone, `${volume}@${name}`);
}

/** Whether nothing holds the snapshot back at this moment. */
export async function isUnheld(pool: Pool, snapshot: PoolSnapshot, { signal }: SignalOption): Promise<boolean> {
  try {
    using _claim = await claimSnapshot(pool, snapshot, { signal });
    return true;
  } catch (error) {
    if (isHeldBack(error)) return false;
    throw error;
  }
}

/**
 * Releases what a repository needs of the named volumes: all of it, or what is older than `keep`, which stays (a newer
 * one belongs to a backup that is still running). Snapshots that backups made and nothing needs any more go. One that is
 * in use stays without need, and goes with the next release.
 * @returns the snapshots that were released, and whether each was removed; with `dryRun` those that would be, and nothing changes
 */
export async function releaseNeeds(
  pool: Pool,
  {
    repository,
    volumes,
    keep,
    dryRun = false,
    signal,
  }: SignalOption & {
    readonly repository: string;
    readonly volumes: readonly string[];
    readonly keep: PoolSnapshot | undefined;
    readonly dryRun?: boolean;
  },
): Promise<ReleasedSnapshot[]> {
  const { released, gone } = await pool.change(
    async () => {
      const released: ReleasedSnapshot[] = [];
      const gone: string[] = [];
      for (const snapshot of volumes.flatMap((volume) => readableSnapshots(pool, volume))) {
        const { record } = snapshot;
        const needed = record.needs.some((need) => need.repository === repository);
        if (!needed && (record.madeBy === 'user' || record.needs.length > 0)) continue;
        if (keep !== undefined && !isOlder(record, keep.record)) continue;
        if (dryRun) {
          const isLast = needsWithout(record, repository).length === 0 && record.madeBy === 'backup';
          released.push({ snapshot, removed: isLast && (await isUnheld(pool, snapshot, { signal })) });
          continue;
        }
        const path = await release(pool, snapshot, { repository, signal });
        if (path !== undefined) gone.push(path);
        released.push({ snapshot, removed: path !== undefined });
      }
      return { released, gone };
    },
    { signal },
  );
  for (const path of gone) await giveBack(path, 'what a backup needed');
  return released;
}

function needsWithout({ needs }: SnapshotRecord, repository: string): Need[] {
  return needs.filter((need) => need.repository !== repository);
}

function isOlder(a: SnapshotRecord, b: SnapshotRecord): boolean {
  return a.id !== b.id && Date.parse(a.created) <= Date.parse(b.created);
}

/** Under the pool's lock. @returns the folder in `staging` that is left of a snapshot that nothing needs any more */
async function release(
  pool: Pool,
  snapshot: PoolSnapshot,
  { repository, signal }: SignalOption & { readonly repository: string },
): Promise<string | undefined> {
  const { record } = snapshot;
  const needs = needsWithout(record, repository);
  if (needs.length < record.needs.length) await replaceNeeds(pool, snapshot, { needs, signal });
  if (needs.length > 0 || record.madeBy === 'user') return undefined;
  return await outOfSightUnlessHeldBack(pool, snapshot, { signal });
}

/** Under the pool's lock: the snapshot's record is another from here on, durably. */
async function replaceNeeds(
  pool: Pool,
  { volume, snapshot, record }: PoolSnapshot,
  { needs, signal }: SignalOption & { readonly needs: readonly Need[] },
): Promise<void> {
  const next: SnapshotRecord = { ...record, needs: [...needs] };
  const path = pool.layout.snapshotRecord(volume, snapshot);
  await atomicWrite(path, encodeRecord(next), { rng: pool.rng, signal });
}
