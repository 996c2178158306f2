import { imageChangeTime } from '../pool/image-changed.ts';
import { PoolError } from '../pool/pool-error.ts';
import type { Pool, PoolSnapshot } from '../pool/pool.ts';
import { readableSnapshots } from '../pool/readable.ts';
import type { VolumeTags } from '../repository/tree/volume-tags.ts';

/** The snapshots of a pool since which changes up to `target` can be told. Their records are read once, when first asked for. */
export class PoolBases {
  readonly pool: Pool;
  readonly target: PoolSnapshot;
  #snapshots: readonly PoolSnapshot[] | undefined;

  constructor(pool: Pool, target: PoolSnapshot) {
    this.pool = pool;
    this.target = target;
  }

  /** The one that a parent with these tags was made of, or why it does not serve. */
  find(tags: VolumeTags): { readonly base: PoolSnapshot } | { readonly refused: string } {
    const { volume, record } = this.target;
    if (tags.pool !== this.pool.id) return { refused: 'the parent is of no snapshot of this pool' };
    if (tags.poolVolume !== record.volumeId)
      return { refused: `the parent is of another volume that was named ${volume}` };
    this.#snapshots ??= readableSnapshots(this.pool, volume);
    const base = this.#snapshots.find(({ record: { id } }) => id === tags.poolSnapshot);
    if (base === undefined) return { refused: 'the snapshot in the pool that the parent was made of was removed' };
    try {
      if (imageChangeTime(base.image) === base.record.imageChanged) return { base };
    } catch (error) {
      if (!(error instanceof PoolError)) throw error;
      return { refused: `the image of ${volume}@${base.snapshot} cannot be looked at` };
    }
    return { refused: `the image of ${volume}@${base.snapshot} was changed by other hands after it was made` };
  }
}
