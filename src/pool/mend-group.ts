/**
 * A group of snapshots whose decision (`group-intent.ts`) cannot be read. Which folder was to become which snapshot stood
 * only there; but each record tells its group and volume. A group of which all records are there is completed: under the
 * name that its members in place have, or else under the time. Of any other nothing more is put in place: nobody was told
 * that it exists, and its folders in `staging` go with all that was left.
 */
import { existsSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { renameNew } from '../kernel/sys.ts';
import { hasCode } from '../std/dray-error.ts';
import { entriesOf } from './entries-of.ts';
import { completeGroup, groupPrefix, isGroup, readMembers } from './group-intent.ts';
import { imageName, snapshotRecordName, type PoolLayout } from './pool-layout.ts';
import { isPoolName, timeName } from './pool-names.ts';
import { readRecord, snapshotRecordSchema, volumeRecordSchema, type SnapshotRecord } from './pool-records.ts';
import { newPrefix } from './staging.ts';
import { syncMoved } from './sync-moved.ts';

export interface GroupPlan {
  /** Volumes of the group whose snapshot is nowhere. */
  readonly missing: readonly string[];
  /** Folders of `staging`, and where they belong; none when the group is not whole. */
  readonly places: readonly { readonly from: string; readonly to: string }[];
}

export interface FaultyGroup {
  /** Of the decision, in `staging`. */
  readonly name: string;
  /** Volumes that it names and that are not there; or, when it cannot be read, what can be done. */
  readonly fault: { readonly gone: readonly string[] } | { readonly plan: GroupPlan };
}

/** Decisions that nobody but `dray pool check` can complete. One that is completed meanwhile is none. */
export function faultyGroups(layout: PoolLayout): FaultyGroup[] {
  return entriesOf(layout.staging)
    .filter(isGroup)
    .flatMap((name): FaultyGroup[] => {
      const path = join(layout.staging, name);
      try {
        const gone = readMembers(path)
          .filter(({ staged, volume }) => {
            return existsSync(join(layout.staging, staged)) && !existsSync(layout.snapshots(volume));
          })
          .map(({ volume }) => volume);
        return gone.length === 0 ? [] : [{ name, fault: { gone } }];
      } catch (error) {
        if (hasCode(error, 'pool-damaged')) return [{ name, fault: { plan: planGroup(layout, name) } }];
        if (!existsSync(path)) return [];
        throw error;
      }
    });
}

/** What can be done for the group, found without touching it. */
function planGroup(layout: PoolLayout, name: string): GroupPlan {
  const id = name.slice(groupPrefix.length, -'.json'.length);
  const placed = placedOf(layout, id);
  const volumes = volumesById(layout);
  const staged = stagedOf(layout, id).map(({ from, record }) => ({
    from,
    record,
    volume: volumes.get(record.volumeId),
  }));
  const [first] = [...placed, ...staged];
  if (first === undefined) return { missing: [], places: [] };
  const found = new Set([...placed, ...staged].map(({ volume }) => volume));
  const missing = first.record.group?.volumes.filter((volume) => !found.has(volume)) ?? [];
  if (missing.length > 0) return { missing, places: [] };
  const members = staged.flatMap(({ from, volume }) => (volume === undefined ? [] : [{ from, volume }]));
  const snapshot = freeName(layout, {
    wanted: placed[0]?.snapshot ?? timeName(first.record.created),
    volumes: members.map(({ volume }) => volume),
  });
  return { missing, places: members.map(({ from, volume }) => ({ from, to: layout.snapshot(volume, snapshot) })) };
}

/** Under the pool's lock; the decision is gone when this resolves. Twice is as good as once. @returns what was done */
async function mendGroup(layout: PoolLayout, name: string): Promise<GroupPlan> {
  const plan = planGroup(layout, name);
  for (const { from, to } of plan.places) {
    await renameNew(from, to);
    await syncMoved(dirname(to));
  }
  await unlink(join(layout.staging, name));
  return plan;
}

/** Under the pool's lock: `completeGroup`, also where nobody else can. @returns what was wrong, undefined when nothing was */
export async function settleGroup(layout: PoolLayout, name: string): Promise<FaultyGroup | undefined> {
  try {
    const gone = await completeGroup(layout, name, { mend: true });
    return gone.length === 0 ? undefined : { name, fault: { gone } };
  } catch (error) {
    // Of a decision that cannot be read nothing was put in place.
    if (!hasCode(error, 'pool-damaged')) throw error;
    return { name, fault: { plan: await mendGroup(layout, name) } };
  }
}

function stagedOf(layout: PoolLayout, id: string): { readonly from: string; readonly record: SnapshotRecord }[] {
  return entriesOf(layout.staging)
    .filter((name) => name.startsWith(newPrefix))
    .map((name) => join(layout.staging, name))
    .flatMap((from) => {
      const record = recordOf(join(from, snapshotRecordName));
      return record?.group?.id === id && existsSync(join(from, imageName)) ? [{ from, record }] : [];
    });
}

interface Placed {
  readonly volume: string;
  readonly snapshot: string;
  readonly record: SnapshotRecord;
}

function placedOf(layout: PoolLayout, id: string): Placed[] {
  const volumes = entriesOf(layout.volumes).filter(isPoolName);
  return volumes.flatMap((volume) =>
    entriesOf(layout.snapshots(volume)).flatMap((snapshot) => {
      const record = recordOf(layout.snapshotRecord(volume, snapshot));
      return record?.group?.id === id ? [{ volume, snapshot, record }] : [];
    }),
  );
}

function volumesById(layout: PoolLayout): ReadonlyMap<string, string> {
  return new Map(
    entriesOf(layout.volumes).flatMap((name) => {
      const record = unlessDamaged(() => readRecord(layout.volumeRecord(name), volumeRecordSchema));
      return record === undefined ? [] : [[record.id, name] as const];
    }),
  );
}

function freeName(
  layout: PoolLayout,
  { wanted, volumes }: { readonly wanted: string; readonly volumes: readonly string[] },
): string {
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? wanted : `${wanted}-${number}`;
    if (volumes.every((volume) => !existsSync(layout.snapshot(volume, name)))) return name;
  }
}

function recordOf(path: string): SnapshotRecord | undefined {
  return unlessDamaged(() => readRecord(path, snapshotRecordSchema));
}

function unlessDamaged<T>(read: () => T | undefined): T | undefined {
  try {
    return read();
  } catch (error) {
    if (hasCode(error, 'pool-damaged')) return undefined;
    throw error;
  }
}
