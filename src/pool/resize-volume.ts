/** Other sizes. A shrink throws data away, so it is told twice, and only for a volume that nobody uses. */
import { truncate } from 'node:fs/promises';
import { loopsOf, refreshLoop } from '../kernel/loop-device.ts';
import { sizeText } from '../std/format-size.ts';
import { checkVolumeSize } from './create-volume.ts';
import { claimImage } from './hold-image.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import type { Pool, PoolVolume } from './pool.ts';
import { syncFile } from './staging.ts';

export interface ResizeOptions {
  readonly sizeBytes: number;
  /** Both are needed to make it smaller. */
  readonly shrink: boolean;
  readonly force: boolean;
  readonly signal: AbortSignal;
}

/**
 * Durable when resolved; a device that it is attached as has grown with it, the file system on it has not.
 * @throws {PoolError} `pool-shrink`, `pool-size`, `pool-in-use`
 */
export async function resizeVolume(pool: Pool, name: string, options: ResizeOptions): Promise<PoolVolume> {
  const { sizeBytes, shrink, force, signal } = options;
  checkVolumeSize(sizeBytes);
  return await pool.change(
    async () => {
      const { image, sizeBytes: before } = pool.volume(name);
      if (sizeBytes < before) {
        if (!shrink || !force) {
          const [has, asked] = [before, sizeBytes].map(sizeText);
          throw new PoolError('pool-shrink', `volume ${name} has ${has}: ${asked} would cut its end off`);
        }
        using _claim = await claimImage(pool, { image, what: `volume ${name}` }, { signal });
        await cut(name, image, sizeBytes);
      } else {
        await cut(name, image, sizeBytes);
        for (const { path } of await loopsOf(image, { signal })) {
          await withPoolErrors(`tell ${path} its new size`, async () => await refreshLoop(path));
        }
      }
      return pool.volume(name);
    },
    { signal },
  );
}

async function cut(name: string, image: string, sizeBytes: number): Promise<void> {
  await withPoolErrors(`resize volume ${name}`, async () => {
    await truncate(image, sizeBytes);
    await syncFile(image);
  });
}
