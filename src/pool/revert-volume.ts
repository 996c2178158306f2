/** A volume as a snapshot of it was: content, size, sectors and lineage change places with the old ones in one step. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cloneImage } from './create-volume.ts';
import { refuseForeign, strangersInLive } from './find-faults.ts';
import { claimImage, holdSnapshot } from './hold-image.ts';
import { imageName, volumeRecordName } from './pool-layout.ts';
import type { SnapshotName } from './pool-names.ts';
import type { VolumeRecord } from './pool-records.ts';
import type { Pool, PoolSnapshot, PoolVolume } from './pool.ts';
import { requireRoom } from './room.ts';
import { giveBack, Staged } from './staging.ts';

export interface RevertOptions {
  /**
   * Asked once nobody uses the volume and nobody can: throws to refuse. Snapshots of it stay as they are until it settles.
   * Left out, it is done.
   */
  readonly approve?: (volume: PoolVolume) => Promise<void>;
  /** Look at everything, and change nothing. */
  readonly dryRun?: boolean;
  readonly onDropped: (snapshot: PoolSnapshot) => void;
  readonly signal: AbortSignal;
}

/**
 * What was written since the snapshot is gone when this resolves; other snapshots stay.
 * @throws {PoolError} `pool-in-use` while it is attached; `pool-foreign-file`; `pool-not-durable`, `pool-leftover` when it is reverted
 */
export async function revertVolume(
  pool: Pool,
  { volume: name, snapshot }: SnapshotName,
  { approve, dryRun = false, onDropped, signal }: RevertOptions,
): Promise<PoolVolume> {
  const { reverted, gone } = await pool.change(
    async () => {
      const volume = pool.volume(name);
      const source = pool.snapshot(name, snapshot);
      using _held = await holdSnapshot(pool, source, { signal });
      using _claim = await claimImage(pool, { image: volume.image, what: `volume ${name}` }, { signal });
      refuseForeign(`volume ${name}`, strangersInLive(pool, name));
      await approve?.(volume);
      if (dryRun) return { reverted: volume, gone: undefined };
      await requireRoom(pool, { doing: `revert ${name}`, onDropped, signal });
      await using staged = await Staged.make(pool);
      const live = join(staged.path, 'live');
      await mkdir(live, { mode: 0o700 });
      await cloneImage(source.image, join(live, imageName));
      const { id: parent, sectorBytes } = source.record;
      const record: VolumeRecord = { ...volume.record, sectorBytes, parent };
      await staged.writeRecord(pool, { name: join('live', volumeRecordName), record, signal });
      await staged.exchange({ inside: 'live', path: pool.layout.live(name), done: `volume ${name} is reverted` });
      // The old content is in there now.
      staged.leave();
      return { reverted: pool.volume(name), gone: staged.path };
    },
    { signal },
  );
  if (gone !== undefined) await giveBack(gone, `what volume ${name} held`);
  return reverted;
}
