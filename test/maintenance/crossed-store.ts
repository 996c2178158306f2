import type { BlobMetadata, BlobStore } from '../../src/blobs/blob-store.ts';

const requests = ['get', 'put', 'upload', 'stat', 'remove', 'serverTimeMs'];

/** A store before each request of which something may happen. */
export function crossedStore(store: BlobStore, before: (request: string) => Promise<void>): BlobStore {
  return new Proxy(store, {
    get: (target, name) => {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== 'function' || typeof name !== 'string') return value;
      const call = value.bind(target) as (...args: readonly unknown[]) => unknown;
      if (name === 'list') {
        return async function* (...args: readonly unknown[]) {
          await before(name);
          yield* call(...args) as AsyncIterable<BlobMetadata>;
        };
      }
      if (!requests.includes(name)) return call;
      return async (...args: readonly unknown[]) => {
        await before(name);
        return await (call(...args) as Promise<unknown>);
      };
    },
  });
}
