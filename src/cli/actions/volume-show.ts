import { loopsOf } from '../../kernel/loop-device.ts';
import { faultsOfVolume, soundOf } from '../../pool/find-faults.ts';
import { fragmentedExtents, imageFigures } from '../../pool/inspect-pool.ts';
import { snapshotName } from '../../pool/pool-names.ts';
import { readableSnapshots } from '../../pool/readable.ts';
import { formatSize, sizeText } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeShowOptions } from '../volume-show.ts';
import { openPool, warnOfDamage } from './open-pool.ts';
import { describeVolume, deviceText } from './volume-rows.ts';

export const volumeShow: Action<VolumeShowOptions> = async (context, { name }) => {
  const pool = openPool(context);
  const volume = pool.volume(name);
  const row = await describeVolume(volume, async (image) => await loopsOf(image, context));
  const { extents, uniqueBytes, sharedBytes } = await imageFigures(volume.image, context);
  const snapshots = readableSnapshots(pool, name);
  warnOfDamage(context, faultsOfVolume(pool, name, { sound: soundOf(snapshots), inSound: false }));
  const parent = snapshots.find(({ record }) => record.id === row.parent)?.snapshot;
  const fragmented = extents > fragmentedExtents;
  const value = {
    ...row,
    extents,
    uniqueBytes,
    sharedBytes,
    fragmented,
    snapshots: snapshots.map((each) => each.snapshot),
  };
  const fields: [string, string | undefined][] = [
    ['Volume', name],
    ['Id', row.id],
    ['Created', row.created],
    ['Size', sizeText(row.sizeBytes)],
    ['Sectors', `${row.sectorBytes} bytes`],
    ['Allocated', formatSize(row.allocatedBytes)],
    ['Data', `${formatSize(uniqueBytes)} of its own, ${formatSize(sharedBytes)} shared with snapshots or clones`],
    ['Extents', `${extents}${fragmented ? ', fragmented: each snapshot takes longer' : ''}`],
    ['Device', deviceText(row)],
    ['Parent', row.parent && (parent === undefined ? row.parent : snapshotName({ volume: name, snapshot: parent }))],
    ['Cloned from', row.clonedFrom],
    ['Restored from', row.restoredFrom],
    ['Snapshots', value.snapshots.join(', ') || 'none'],
  ];
  await context.output.record(value, { names: [name], fields });
  return exitCodes.done;
};
