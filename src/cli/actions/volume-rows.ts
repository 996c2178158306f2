/** Volumes in the form that all their commands print: stable fields for programs, lines for people. */
import { loopsOf, type DevicesOf } from '../../kernel/loop-device.ts';
import { withPoolErrors } from '../../pool/pool-error.ts';
import { snapshotName } from '../../pool/pool-names.ts';
import type { PoolVolume } from '../../pool/pool.ts';
import { formatSize, sizeText } from '../../std/format-size.ts';
import type { CliContext } from '../shell/cli-context.ts';

export interface VolumeRow {
  readonly name: string;
  readonly id: string;
  readonly created: string;
  readonly sizeBytes: number;
  /** Of blocks that it maps, shared or not. */
  readonly allocatedBytes: number;
  readonly sectorBytes: number;
  /** Absent when it is not attached. */
  readonly device: string | undefined;
  readonly readOnly: boolean | undefined;
  /** Id of the snapshot that its present content descends from. */
  readonly parent: string | undefined;
  /** `VOLUME@SNAPSHOT`, as they were called then. */
  readonly clonedFrom: string | undefined;
  /** Id of a snapshot of a repository. */
  readonly restoredFrom: string | undefined;
}

export async function describeVolume(
  { name, record, sizeBytes, allocatedBytes, image }: PoolVolume,
  devicesOf: DevicesOf,
): Promise<VolumeRow> {
  const [device] = await withPoolErrors(`look for the device of volume ${name}`, async () => await devicesOf(image));
  const { id, created, sectorBytes, parent, clonedFrom, restoredFrom } = record;
  return {
    name,
    id,
    created,
    sizeBytes,
    allocatedBytes,
    sectorBytes,
    device: device?.path,
    readOnly: device?.readOnly,
    parent,
    clonedFrom: clonedFrom === undefined ? undefined : snapshotName(clonedFrom),
    restoredFrom,
  };
}

/** What a command says that has made or changed a volume. */
export async function printVolume(context: CliContext, volume: PoolVolume): Promise<void> {
  const row = await describeVolume(volume, async (image) => await loopsOf(image, context));
  await context.output.record(row, {
    names: [row.name],
    fields: [
      ['Volume', row.name],
      ['Size', sizeText(row.sizeBytes)],
      ['Allocated', formatSize(row.allocatedBytes)],
      ['Device', deviceText(row)],
    ],
  });
}

export function deviceText({ device, readOnly }: VolumeRow): string {
  if (device === undefined) return 'not attached';
  return readOnly === true ? `${device}, read-only` : device;
}
