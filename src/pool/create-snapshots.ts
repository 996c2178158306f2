/**
 * Snapshots of one volume, or of several at one instant. Order: records and empty images in `staging`; everything that
 * needs no stillness; freeze, flush, clone, thaw; the clones durable; then in place, by one rename for one snapshot and
 * by a decision for a group (`group-intent.ts`). Reported only after that. A kill before leaves nothing but folders in
 * `staging`; one while frozen is thawed by the guard.
 */
import { open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { atomicWrite, syncDirectory } from '../std/atomic-write.ts';
import { hasCode } from '../std/dray-error.ts';
import { randomHex } from '../std/rng.ts';
import { completeGroup, decideGroup } from './group-intent.ts';
import { cloneStill, stillnessOf, type StillClone, type Stillness } from './hold-still.ts';
import { imageChangeTime } from './image-changed.ts';
import { PoolError, poolError, withPoolErrors } from './pool-error.ts';
import { imageName, snapshotRecordName } from './pool-layout.ts';
import { checkPoolName, snapshotName, type SnapshotName } from './pool-names.ts';
import { encodeRecord, type Need, type SnapshotRecord } from './pool-records.ts';
import type { Pool, PoolSnapshot, PoolVolume } from './pool.ts';
import { requireRoom } from './room.ts';
import { Staged, syncFile } from './staging.ts';

export interface CreateSnapshotsOptions {
  /** What is asked for; all of them at one instant. */
  readonly snapshots: readonly SnapshotName[];
  readonly madeBy: SnapshotRecord['madeBy'];
  /** Durable with the snapshots. */
  readonly needs: readonly Need[];
  /** The longest that writers may wait. */
  readonly freezeBoundMs: number;
  /** A base that was given up for room. */
  readonly onDropped: (snapshot: PoolSnapshot) => void;
  readonly signal: AbortSignal;
}

export interface CreatedSnapshots {
  readonly snapshots: readonly PoolSnapshot[];
  readonly frozenMs: number;
}

/** For what is done when the snapshots exist. */
const setParentMsMax = 60_000;

/** But for what only the clone that is done tells. */
type UnseenRecord = Omit<SnapshotRecord, 'imageChanged'>;

interface Member extends SnapshotName {
  readonly stillness: Stillness;
  readonly staged: Staged;
}

/**
 * @throws {PoolError} `pool-snapshot-exists`, `pool-volume-missing`, `pool-reserve`, `pool-freeze`; of a group also when one
 *   of its volumes is attached and cannot be frozen
 */
export async function createSnapshots(pool: Pool, options: CreateSnapshotsOptions): Promise<CreatedSnapshots> {
  const { snapshots, onDropped, signal } = options;
  for (const { volume, snapshot } of snapshots) {
    checkPoolName(volume, 'volume');
    checkPoolName(snapshot, 'snapshot');
  }
  const names = new Set(snapshots.map(({ volume }) => volume));
  if (names.size < snapshots.length) throw new PoolError('pool-name', 'a volume is named twice in one group');
  return await pool.change(
    async () => {
      for (const name of snapshots) refuseTaken(pool, name);
      await requireRoom(pool, { doing: `make ${snapshots.map(snapshotName).join(', ')}`, onDropped, signal });
      await using staging = new AsyncDisposableStack();
      const members: Member[] = [];
      for (const name of snapshots) {
        const stillness = await stillnessOf(pool.volume(name.volume), { signal });
        members.push({ ...name, stillness, staged: staging.use(await Staged.make(pool)) });
      }
      if (members.length > 1) refuseUnfreezable(members);
      const { frozenMs, records } = await cloneAll(pool, members, options);
      await publish(pool, members, { records, signal });
      return { snapshots: members.map(({ volume, snapshot }) => pool.snapshot(volume, snapshot)), frozenMs };
    },
    { signal },
  );
}

function refuseTaken(pool: Pool, { volume, snapshot }: SnapshotName): void {
  pool.volume(volume);
  if (pool.findSnapshot(volume, snapshot) === undefined) return;
  throw new PoolError('pool-snapshot-exists', `there is a snapshot ${volume}@${snapshot} already`);
}

function refuseUnfreezable(members: readonly Member[]): void {
  for (const { stillness, volume } of members) {
    if (stillness.consistency !== 'crash') continue;
    throw new PoolError('pool-freeze', `volume ${volume} cannot be of a group: ${stillness.reason}`);
  }
}

async function cloneAll(
  pool: Pool,
  members: readonly Member[],
  { madeBy, needs, freezeBoundMs: boundMs, signal }: CreateSnapshotsOptions,
): Promise<{ readonly frozenMs: number; readonly records: readonly UnseenRecord[] }> {
  await using files = new AsyncDisposableStack();
  const clones: StillClone[] = [];
  for (const { stillness, staged } of members) {
    const from = await open(stillness.volume.image, 'r');
    files.defer(async () => await from.close());
    const to = await open(staged.image, 'wx', 0o400);
    files.defer(async () => await to.close());
    clones.push({ stillness, fromFd: from.fd, toFd: to.fd });
  }
  const { frozenMs, atMs } = await withPoolErrors(
    `clone ${members.map(({ volume }) => volume).join(', ')}`,
    async () => {
      return await cloneStill(pool, clones, { boundMs, signal });
    },
  );
  const created = new Date(atMs).toISOString();
  const volumes = members.map(({ volume }) => volume);
  const group = members.length > 1 ? { group: { id: randomHex(pool.rng, 16), volumes } } : {};
  const records = members.map(({ stillness: { volume, consistency, reason } }): UnseenRecord => {
    const { id: volumeId, sectorBytes, parent } = volume.record;
    const origin = { volumeId, sectorBytes, ...(parent !== undefined && { parent }) };
    const how = { consistency, ...(reason !== undefined && { reason }), madeBy, ...group, needs: [...needs] };
    return { version: 1, id: randomHex(pool.rng, 16), created, ...origin, ...how };
  });
  return { frozenMs, records };
}

/** Makes the clones durable and visible, and the volumes remember what they descend from. */
async function publish(
  pool: Pool,
  members: readonly Member[],
  { records, signal }: { readonly records: readonly UnseenRecord[]; readonly signal: AbortSignal },
): Promise<void> {
  for (const [position, { staged, volume }] of members.entries()) {
    await withPoolErrors(`make the snapshot of ${volume} durable`, async () => {
      const image = join(staged.path, imageName);
      await syncFile(image);
      const record: SnapshotRecord = { ...records[position]!, imageChanged: imageChangeTime(image) };
      await staged.writeRecord(pool, { name: snapshotRecordName, record, signal });
    });
  }
  const [only] = members;
  if (members.length === 1 && only !== undefined) {
    const placed = await only.staged.place(pool.layout.snapshot(only.volume, only.snapshot));
    if (!placed) throw new PoolError('pool-snapshot-exists', `there is a snapshot ${snapshotName(only)} already`);
  } else {
    for (const { staged } of members) await syncDirectory(staged.path);
    await syncDirectory(pool.layout.staging);
    const id = records[0]!.group?.id ?? '';
    const list = members.map(({ staged, volume, snapshot }) => ({ staged: basename(staged.path), volume, snapshot }));
    const intent = await decideGroup(pool.layout, { id, members: list, rng: pool.rng, signal });
    for (const { staged } of members) staged.leave();
    await completeGroup(pool.layout, intent, { mend: false });
  }
  for (const [position, { stillness }] of members.entries()) {
    await setParent(pool, stillness.volume, records[position]!.id);
  }
}

/**
 * Lineage only: a volume whose record is one snapshot behind is right in everything else. So neither a full disk at this
 * moment nor an abort makes a failure of snapshots that exist.
 */
async function setParent(pool: Pool, { name, record }: PoolVolume, parent: string): Promise<void> {
  const path = pool.layout.volumeRecord(name);
  const signal = AbortSignal.timeout(setParentMsMax);
  try {
    await atomicWrite(path, encodeRecord({ ...record, parent }), { rng: pool.rng, signal });
  } catch (error) {
    if (!hasCode(poolError(error, 'remember the parent'), 'pool-no-space')) throw error;
  }
}
