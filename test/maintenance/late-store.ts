import type { BlobMetadata, BlobStore } from '../../src/blobs/blob-store.ts';
import type { Rng } from '../../src/std/rng.ts';
import type { World } from './world.ts';

/** How late a listing may be. */
export const lateMsMax = 60_000;

/** Some blobs show in listings only a while after they were put. */
export function lateStore({ store, clock }: Pick<World, 'store' | 'clock'>, rng: Rng): BlobStore {
  const lateness = new Map<string, number>();
  const isVisible = ({ id, timestampMs }: BlobMetadata): boolean => {
    const key = `${id} ${timestampMs}`;
    let late = lateness.get(key);
    if (late === undefined) lateness.set(key, (late = rng.uniform() < 0.2 ? rng.uniform() * lateMsMax : 0));
    return clock.nowMs() - timestampMs >= late;
  };
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'list') {
        return async function* (...[prefix, options]: Parameters<BlobStore['list']>) {
          for await (const blob of target.list(prefix, options)) if (isVisible(blob)) yield blob;
        };
      }
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
