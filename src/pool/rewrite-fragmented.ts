/** Volumes that have become fragmented, gathered one after the other. */
import { hasCode } from '../std/dray-error.ts';
import { familyOf } from './create-volume.ts';
import { imageFigures } from './inspect-pool.ts';
import type { Pool, PoolVolume } from './pool.ts';
import { readableVolumes } from './readable.ts';
import { rewriteVolume, type RewriteOptions, type RewriteResult } from './rewrite-volume.ts';

const passedOver = ['pool-volume-missing', 'pool-in-use', 'pool-busy', 'pool-damaged', 'pool-version'];

export interface Rewritten extends RewriteResult {
  readonly volume: string;
  readonly extentsBefore: number;
  readonly extentsAfter: number;
}

export interface RewriteFragmentedOptions extends RewriteOptions {
  /** Absent: all of the pool, but for those that share blocks with each other (clones, and what they were made of). */
  readonly volumes: readonly string[] | undefined;
  /** A volume of more extents than this is gathered. */
  readonly extentsMax: number;
  /** Not even looked at. */
  readonly isLeftOut?: (volume: string) => boolean;
}

/** Of all, those that are damaged, or go away meanwhile, are passed over. @throws {PoolError} of a volume that was named */
export async function* rewriteFragmented(
  pool: Pool,
  { volumes, extentsMax, isLeftOut, ...options }: RewriteFragmentedOptions,
): AsyncGenerator<Rewritten, void, undefined> {
  const names = volumes ?? withoutRelatives(readableVolumes(pool)).map(({ name }) => name);
  for (const volume of names) {
    if (isLeftOut?.(volume) === true) continue;
    try {
      const extentsBefore = await extentsOf(pool, volume, options);
      if (extentsBefore <= extentsMax) continue;
      const result = await rewriteVolume(pool, volume, options);
      const extentsAfter = await extentsOf(pool, volume, options);
      yield { volume, extentsBefore, extentsAfter, ...result };
    } catch (error) {
      const isPassedOver = passedOver.some((code) => hasCode(error, code));
      if (volumes !== undefined || !isPassedOver) throw error;
    }
  }
}

/** Volumes that share blocks with no other one: gathered, each of those would take room for all of its blocks. */
function withoutRelatives(volumes: readonly PoolVolume[]): PoolVolume[] {
  const families = Map.groupBy(volumes, familyOf);
  return volumes.filter((volume) => families.get(familyOf(volume))?.length === 1);
}

/** @throws {PoolError} `pool-volume-missing`, also when it goes away while it is looked at */
async function extentsOf(pool: Pool, volume: string, { signal }: Pick<RewriteOptions, 'signal'>): Promise<number> {
  const { image } = pool.volume(volume);
  try {
    return (await imageFigures(image, { signal })).extents;
  } catch (error) {
    pool.volume(volume);
    throw error;
  }
}
