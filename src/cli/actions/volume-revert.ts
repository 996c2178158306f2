/**
 * A revert gives up the present content of a volume. Snapshots stay, so all that can be lost is what none of them holds:
 * that is looked for under the pool's lock, once nobody can write to the volume any more, and told before anything is
 * changed. Looking compares maps with the snapshot that the content descends from, or with the newest where that one is gone.
 */
import { compareImages } from '../../changes/pool-changes.ts';
import { snapshotName } from '../../pool/pool-names.ts';
import type { Pool, PoolSnapshot, PoolVolume } from '../../pool/pool.ts';
import { readableSnapshots } from '../../pool/readable.ts';
import { revertVolume } from '../../pool/revert-volume.ts';
import { totalBytes } from '../../volume/extents.ts';
import { formatSize } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import { CliError } from '../shell/cli-error.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeRevertOptions } from '../volume-revert.ts';
import { dropping, openPool } from './open-pool.ts';

export const volumeRevert: Action<VolumeRevertOptions> = async (context, { to, force, dryRun }) => {
  const pool = openPool(context);
  let unsaved = { bytes: 0, text: '' };
  let newer: readonly PoolSnapshot[] = [];
  const approve = async (volume: PoolVolume): Promise<void> => {
    // Under the lock as well: once it is done nothing that others do makes a failure of it.
    newer = newerThan(pool, pool.snapshot(to.volume, to.snapshot));
    unsaved = await findUnsaved(pool, volume, context);
    if (unsaved.bytes > 0 && !force && !dryRun) throw new CliError('revert-unsaved', unsaved.text);
  };
  await revertVolume(pool, to, { approve, dryRun, ...dropping(context) });
  if (unsaved.bytes > 0) context.log.warn(`${unsaved.text}${dryRun ? '' : ', and is lost now'}`);
  const value = {
    volume: to.volume,
    snapshot: snapshotName(to),
    dryRun,
    lostBytes: unsaved.bytes,
    newerSnapshots: newer.map(snapshotName),
  };
  await context.output.record(value, {
    names: [to.volume],
    fields: [
      [dryRun ? 'Would revert' : 'Reverted', `${to.volume} to ${to.snapshot}`],
      ['Lost', unsaved.bytes === 0 ? 'nothing: a snapshot holds what it was' : `${formatSize(unsaved.bytes)} at most`],
      ['Newer snapshots', newer.length === 0 ? 'none' : `${value.newerSnapshots.join(', ')}: they stay`],
    ],
  });
  return exitCodes.done;
};

/** How much of a volume no snapshot holds, at most. */
async function findUnsaved(
  pool: Pool,
  { name, record, image, allocatedBytes }: PoolVolume,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly bytes: number; readonly text: string }> {
  const snapshots = readableSnapshots(pool, name);
  const base = snapshots.find(({ record: { id } }) => id === record.parent) ?? snapshots.at(-1);
  if (base === undefined) return { bytes: allocatedBytes, text: `no snapshot of volume ${name} is left` };
  const { extents } = await compareImages({ base: base.image, target: image }, { signal });
  const bytes = totalBytes(extents);
  const text = `volume ${name} has ${formatSize(bytes)} of changes that no snapshot holds, since ${snapshotName(base)}`;
  return { bytes, text };
}

function newerThan(pool: Pool, { volume, record }: PoolSnapshot): PoolSnapshot[] {
  return readableSnapshots(pool, volume).filter((each) => Date.parse(each.record.created) > Date.parse(record.created));
}
