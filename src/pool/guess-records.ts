/** Records of images whose own are lost, from what is left: all that is not known for certain is said anew. */
import { statSync } from 'node:fs';
import { randomHex } from '../std/rng.ts';
import { entriesOf } from './entries-of.ts';
import { imageChangeTime } from './image-changed.ts';
import {
  readRecord,
  snapshotRecordSchema,
  volumeRecordSchema,
  type SnapshotRecord,
  type VolumeRecord,
} from './pool-records.ts';
import type { Pool } from './pool.ts';

/** A new id: nothing that was said of the old record holds for certain. */
export function guessVolume(pool: Pool, name: string): VolumeRecord {
  const known = recordOfSnapshots(pool, name);
  const sectorBytes = known?.sectorBytes ?? 4096;
  const created = timeOf(pool.layout.image(name));
  // What was cloned of it has its former id for a family.
  const family = known === undefined ? {} : { family: known.volumeId };
  return { version: 1, id: randomHex(pool.rng, 16), created, sectorBytes, ...family };
}

export function guessSnapshot(pool: Pool, volume: string, name: string): SnapshotRecord {
  const live = recordOrNothing(pool.layout.volumeRecord(volume), volumeRecordSchema);
  return {
    version: 1,
    id: randomHex(pool.rng, 16),
    volumeId: live?.id ?? randomHex(pool.rng, 16),
    created: timeOf(pool.layout.snapshotImage(volume, name)),
    sectorBytes: live?.sectorBytes ?? recordOfSnapshots(pool, volume)?.sectorBytes ?? 4096,
    imageChanged: imageChangeTime(pool.layout.snapshotImage(volume, name)),
    consistency: 'crash',
    reason: 'its record was lost and made again',
    madeBy: 'user',
    needs: [],
  };
}

function recordOfSnapshots(pool: Pool, volume: string): SnapshotRecord | undefined {
  for (const name of entriesOf(pool.layout.snapshots(volume))) {
    const record = recordOrNothing(pool.layout.snapshotRecord(volume, name), snapshotRecordSchema);
    if (record !== undefined) return record;
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
