/**
 * The rung `extents` of a pool's volume: what differs between the snapshot that is to be stored and the one that the
 * parent in the repository was made of, found from where the file system keeps their blocks. The base is found by ids,
 * which are never used twice, and must be as it was made: a volume that was reverted to a base that somebody wrote to would share what
 * was written there with it, and the parent does not have it. Both files are open and locked against removal while they are compared.
 */
import { open } from 'node:fs/promises';
import { holdSnapshot } from '../pool/hold-image.ts';
import { withPoolErrors } from '../pool/pool-error.ts';
import type { Pool, PoolSnapshot } from '../pool/pool.ts';
import { compareExtents, type ExtentDifference, type ImageFile } from './extents.ts';
import type { ChangeOffer } from './ladder.ts';
import type { PoolBases } from './pool-bases.ts';

interface SignalOption {
  readonly signal: AbortSignal;
}

/** The target of the bases is held by the caller. */
export function poolChanges(bases: PoolBases): ChangeOffer {
  return {
    rung: 'extents',
    async since({ tags }, { signal }) {
      const { pool, target } = bases;
      const found = bases.find(tags);
      if ('refused' in found) return found;
      const { base } = found;
      const { extents } = await comparePoolSnapshots(pool, { base, target }, { signal });
      const name = `${target.volume}@${base.snapshot}`;
      return { extents, reason: `the pool still has ${name}, which the parent was made of` };
    },
  };
}

export interface ImageDifference extends ExtentDifference {
  /** Of the target. */
  readonly sizeBytes: number;
}

/**
 * @throws {PoolError} `pool-snapshot-missing`, `pool-in-use` when one of them is being removed; and as `compareImages`
 */
export async function comparePoolSnapshots(
  pool: Pool,
  { base, target }: { readonly base: PoolSnapshot; readonly target: PoolSnapshot },
  { signal }: SignalOption,
): Promise<ImageDifference> {
  using _base = await holdSnapshot(pool, base, { signal });
  using _target = await holdSnapshot(pool, target, { signal });
  return await compareImages({ base: base.image, target: target.image }, { signal });
}

/**
 * Where two images of a pool may differ. Whoever calls sees to it that neither is written to or removed meanwhile.
 * @throws {PoolError} `pool-io`; and as `compareExtents`
 */
export async function compareImages(
  { base, target }: { readonly base: string; readonly target: string },
  { signal }: SignalOption,
): Promise<ImageDifference> {
  await using files = new AsyncDisposableStack();
  const image = async (path: string): Promise<ImageFile> => {
    const file = await withPoolErrors(`open ${path}`, async () => await open(path, 'r'));
    files.defer(async () => await file.close());
    return { fd: file.fd, sizeBytes: (await file.stat()).size };
  };
  const [before, after] = [await image(base), await image(target)];
  return { ...(await compareExtents(before, after, { signal })), sizeBytes: after.sizeBytes };
}
