/**
 * Writing to a block device in place. Its size is not ours: a larger device is used from its start and the rest is left
 * alone. The device is opened exclusively unless forced, so that nobody can mount it while it is half written.
 */
import { constants } from 'node:fs';
import { deviceBlockBytes, deviceSizeBytes, zeroOut } from '../kernel/block-device.ts';
import { DirectFile } from '../kernel/direct-file.ts';
import { pageBytes } from '../kernel/sys.ts';
import { VolumeError } from './block-source.ts';
import type { BlockTarget, TargetLocation } from './block-target.ts';
import { OpenTarget, type Zeroer } from './open-target.ts';
import { kindOf } from './file-source.ts';
import { withVolumeErrors } from './volume-errors.ts';

export interface OpenDeviceOptions {
  /** Bytes that must fit. */
  readonly sizeBytes: number;
  /** Do not insist on being its only user. */
  readonly force?: boolean | undefined;
  readonly signal: AbortSignal;
}

/**
 * @throws {VolumeError} `volume-not-found`, `volume-kind`, `volume-denied`, `volume-busy`, `volume-too-small`,
 * `volume-read-only`, `volume-io`
 */
export async function openDeviceTarget(
  path: string,
  { sizeBytes, force = false, signal }: OpenDeviceOptions,
): Promise<BlockTarget> {
  signal.throwIfAborted();
  const location: TargetLocation = { path, kind: 'device', sizeBytes, zeroed: false };
  return await openDevice(location, { exclusive: !force });
}

/** Opens the device of a location; a worker's is not exclusive, because the claim is the first opener's. */
export async function openDevice(
  location: TargetLocation,
  { exclusive }: { readonly exclusive: boolean },
): Promise<BlockTarget> {
  const { path, sizeBytes } = location;
  return await withVolumeErrors(
    () => `open ${path} for writing`,
    async () => {
      if ((await kindOf(path)) !== 'device') throw new VolumeError('volume-kind', `${path} is not a block device`);
      const flags = constants.O_RDWR | (exclusive ? constants.O_EXCL : 0);
      await using opening = new AsyncDisposableStack();
      const file = opening.use(await DirectFile.open(path, { flags, direct: true }));
      const present = deviceSizeBytes(file.fd);
      if (present < sizeBytes) {
        throw new VolumeError('volume-too-small', `${path} has ${present} bytes, ${sizeBytes} are needed`);
      }
      // Whole pages: the buffered writes of the ragged ends must not leave dirty pages inside the range.
      const alignmentBytes = Math.max(deviceBlockBytes(file.fd), pageBytes());
      const zeroer: Zeroer = { alignmentBytes, zero: zeroOut };
      opening.move();
      return new OpenTarget(file, location, zeroer);
    },
  );
}
