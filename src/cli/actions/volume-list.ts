import { attachedLoops } from '../../kernel/loop-device.ts';
import { findFaults, soundIn } from '../../pool/find-faults.ts';
import { readableContents } from '../../pool/readable.ts';
import { formatSize } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeListOptions } from '../volume-list.ts';
import { openPool, warnOfDamage } from './open-pool.ts';
import { describeVolume, type VolumeRow } from './volume-rows.ts';

interface Row extends VolumeRow {
  readonly snapshots: number;
}

export const volumeList: Action<VolumeListOptions> = async (context) => {
  const pool = openPool(context);
  const rows: Row[] = [];
  const contents = readableContents(pool);
  const devicesOf = await attachedLoops(context);
  for (const { volume, snapshots } of contents) {
    rows.push({ ...(await describeVolume(volume, devicesOf)), snapshots: snapshots.length });
  }
  warnOfDamage(context, findFaults(pool, { sound: soundIn(contents), inSound: false }));
  await context.output.list(rows, {
    name: ({ name }) => name,
    columns: [
      { header: 'VOLUME', value: ({ name }) => name },
      { header: 'SIZE', value: ({ sizeBytes }) => formatSize(sizeBytes), align: 'right' },
      { header: 'ALLOCATED', value: ({ allocatedBytes }) => formatSize(allocatedBytes), align: 'right' },
      { header: 'SNAPSHOTS', value: ({ snapshots }) => String(snapshots), align: 'right' },
      { header: 'DEVICE', value: ({ device, readOnly }) => `${device ?? '-'}${readOnly === true ? ' (ro)' : ''}` },
      { header: 'ORIGIN', value: ({ clonedFrom, restoredFrom }) => clonedFrom ?? restoredFrom?.slice(0, 12) ?? '-' },
    ],
  });
  return exitCodes.done;
};
