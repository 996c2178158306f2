/**
 * Looks at everything in a pool and mends what a crash, or a hand, left. What can be made again from what is there is
 * made; what is lost is named, and removed only when that is asked for. `findFaults` looks and touches nothing; `checkPool` mends.
 */
import { readdirSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { atomicWrite } from '../std/atomic-write.ts';
import { randomHex } from '../std/rng.ts';
import { imageChangeTime } from './image-changed.ts';
import { PoolError } from './pool-error.ts';
import { imageName, snapshotRecordName, volumeRecordName } from './pool-layout.ts';
import { isPoolName } from './pool-names.ts';
import {
  encodeRecord,
  readRecord,
  snapshotRecordSchema,
  volumeRecordSchema,
  type SectorBytes,
  type SnapshotRecord,
  type VolumeRecord,
} from './pool-records.ts';
import type { Pool } from './pool.ts';
import { restorePrefix, type Leftovers } from './recover-staging.ts';
import { removeTree, takeOut } from './staging.ts';

export interface Finding {
  /** `…-record`: it is missing or cannot be read. `…-image`: it is gone. `stray`: a name that belongs to nothing. */
  readonly kind: 'volume-record' | 'volume-image' | 'snapshot-record' | 'snapshot-image' | 'stray';
  /** Such as `data@monday`. */
  readonly what: string;
  readonly path: string;
  readonly message: string;
  /** `mend`: by making it again. `remove`: a file that nothing needs. `damaged`: data is lost. */
  readonly remedy: 'mend' | 'remove' | 'damaged';
}

export interface CheckResult {
  readonly leftovers: Leftovers;
  readonly findings: readonly Finding[];
  readonly mended: number;
}

export interface CheckOptions {
  readonly dryRun: boolean;
  /** Take what is damaged beyond mending out of the pool. */
  readonly removeDamaged: boolean;
  readonly signal: AbortSignal;
}

export async function checkPool(pool: Pool, { dryRun, removeDamaged, signal }: CheckOptions): Promise<CheckResult> {
  if (dryRun) return { leftovers: lookAtStaging(pool), findings: findFaults(pool), mended: 0 };
  return await pool.change(
    async (leftovers) => {
      const findings = findFaults(pool);
      let mended = 0;
      for (const finding of findings) {
        if (finding.remedy === 'damaged' && !removeDamaged) continue;
        await mend(pool, finding, { signal });
        mended += 1;
      }
      return { leftovers, findings, mended };
    },
    { signal },
  );
}

function lookAtStaging(pool: Pool): Leftovers {
  const names = safeList(pool.layout.staging);
  const restores = names.filter((name) => name.startsWith(restorePrefix));
  return { recovered: names.filter((name) => !restores.includes(name)), restores };
}

/** Pure looking: nothing is changed. */
export function findFaults(pool: Pool): Finding[] {
  const { layout } = pool;
  return readdirSync(layout.volumes).flatMap((name): Finding[] => {
    const path = layout.volume(name);
    if (!isPoolName(name)) return [stray(name, path)];
    const snapshots = safeList(layout.snapshots(name)).flatMap((snapshot) => faultsOfSnapshot(pool, name, snapshot));
    return [...faultsOfVolume(pool, name), ...straysIn(layout.live(name), [imageName, volumeRecordName]), ...snapshots];
  });
}

function faultsOfVolume({ layout }: Pool, name: string): Finding[] {
  const path = join(layout.live(name), volumeRecordName);
  const hasImage = isFile(layout.image(name));
  const fault = recordFault(path, volumeRecordSchema);
  if (!hasImage) {
    const left = safeList(layout.snapshots(name)).length === 0 ? '' : '; its snapshots are left';
    const message = `the image of volume ${name} is gone${left}`;
    return [{ kind: 'volume-image', what: name, path: layout.live(name), message, remedy: 'damaged' }];
  }
  if (fault === undefined) return [];
  return [{ kind: 'volume-record', what: name, path, message: fault, remedy: 'mend' }];
}

function faultsOfSnapshot({ layout }: Pool, volume: string, name: string): Finding[] {
  const folder = layout.snapshot(volume, name);
  const what = `${volume}@${name}`;
  if (!isPoolName(name)) return [stray(what, folder)];
  const path = join(folder, snapshotRecordName);
  const strays = straysIn(folder, [imageName, snapshotRecordName]);
  if (!isFile(layout.snapshotImage(volume, name))) {
    return [{ kind: 'snapshot-image', what, path: folder, message: `the image of ${what} is gone`, remedy: 'damaged' }];
  }
  const fault = recordFault(path, snapshotRecordSchema);
  if (fault === undefined) return strays;
  return [{ kind: 'snapshot-record', what, path, message: fault, remedy: 'mend' }, ...strays];
}

function recordFault(path: string, schema: Parameters<typeof readRecord>[1]): string | undefined {
  try {
    return readRecord(path, schema) === undefined ? `${path} is missing` : undefined;
  } catch (error) {
    if (error instanceof PoolError && error.code === 'pool-damaged') return error.message;
    throw error;
  }
}

/** Files that a killed replacing of a record left. */
function straysIn(folder: string, known: readonly string[]): Finding[] {
  return safeList(folder)
    .filter((name) => !known.includes(name))
    .map((name) => stray(name, join(folder, name)));
}

function stray(what: string, path: string): Finding {
  const remedy = /\.tmp\.[0-9a-f]{16}$/.test(path) ? 'remove' : 'damaged';
  return { kind: 'stray', what, path, message: `${path} belongs to nothing`, remedy };
}

async function mend(pool: Pool, finding: Finding, { signal }: { readonly signal: AbortSignal }): Promise<void> {
  const { kind, path, what } = finding;
  const [volume = '', snapshot = ''] = what.split('@');
  const replace = async (record: VolumeRecord | SnapshotRecord): Promise<void> =>
    await atomicWrite(path, encodeRecord(record), { rng: pool.rng, signal });
  switch (kind) {
    case 'stray':
      return await rm(path, { recursive: true, force: true });
    case 'volume-record':
      return await replace(guessVolume(pool, volume));
    case 'snapshot-record':
      return await replace(guessSnapshot(pool, volume, snapshot));
    case 'snapshot-image':
      return await removeTree(await takeOut(pool, path));
    case 'volume-image':
      return await removeVolumeImage(pool, volume);
  }
}

/** Its snapshots are what is left of a volume then: they stay, can be cloned, and go with `deleteVolume`. */
async function removeVolumeImage(pool: Pool, volume: string): Promise<void> {
  const { layout } = pool;
  if (safeList(layout.snapshots(volume)).length === 0)
    return await removeTree(await takeOut(pool, layout.volume(volume)));
  if (exists(layout.live(volume))) await removeTree(await takeOut(pool, layout.live(volume)));
}

/** A new id: nothing that was said of the old record holds for certain. */
function guessVolume(pool: Pool, name: string): VolumeRecord {
  const sectorBytes = sectorOfSnapshots(pool, name) ?? 4096;
  return { version: 1, id: randomHex(pool.rng, 16), created: timeOf(pool.layout.image(name)), sectorBytes };
}

function guessSnapshot(pool: Pool, volume: string, name: string): SnapshotRecord {
  const live = recordOrNothing(join(pool.layout.live(volume), volumeRecordName), volumeRecordSchema);
  return {
    version: 1,
    id: randomHex(pool.rng, 16),
    volumeId: live?.id ?? randomHex(pool.rng, 16),
    created: timeOf(pool.layout.snapshotImage(volume, name)),
    sectorBytes: live?.sectorBytes ?? sectorOfSnapshots(pool, volume) ?? 4096,
    imageChanged: imageChangeTime(pool.layout.snapshotImage(volume, name)),
    consistency: 'crash',
    reason: 'its record was lost and made again',
    madeBy: 'user',
    needs: [],
  };
}

function sectorOfSnapshots(pool: Pool, volume: string): SectorBytes | undefined {
  for (const name of safeList(pool.layout.snapshots(volume))) {
    const record = recordOrNothing(join(pool.layout.snapshot(volume, name), snapshotRecordName), snapshotRecordSchema);
    if (record !== undefined) return record.sectorBytes;
  }
  return undefined;
}

function recordOrNothing<T>(path: string, schema: Parameters<typeof readRecord<T>>[1]): T | undefined {
  try {
    return readRecord(path, schema);
  } catch {
    return undefined;
  }
}

function timeOf(path: string): string {
  return statSync(path).mtime.toISOString();
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function safeList(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
