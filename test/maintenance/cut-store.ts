import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { MemoryStore } from '../../src/blobs/memory-store.ts';
import type { World } from './world.ts';

const never = new AbortController().signal;

/** The process is gone: nothing that it asks is done any more. */
export class Gone extends Error {}

/**
 * A store for a process that dies at its nth change: just before the store has it, or just after.
 * `changes` counts them.
 */
export class CutStore {
  changes = 0;
  readonly store: BlobStore;
  #dead = false;

  constructor(inner: BlobStore, cut: { readonly at: number; readonly after: boolean }) {
    const change = async (work: () => Promise<unknown>): Promise<unknown> => {
      if (this.#dead) throw new Gone();
      const isLast = ++this.changes === cut.at;
      if (isLast) this.#dead = true;
      if (isLast && !cut.after) throw new Gone();
      const result = await work();
      if (isLast) throw new Gone();
      return result;
    };
    this.store = new Proxy(inner, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== 'function') return value;
        const call = value.bind(target) as (...args: readonly unknown[]) => Promise<unknown>;
        if (name === 'put' || name === 'remove')
          return async (...args: readonly unknown[]) => await change(async () => await call(...args));
        if (name !== 'upload') return call;
        return async (...args: readonly unknown[]) => {
          if (this.#dead) throw new Gone();
          const upload = (await call(...args)) as Awaited<ReturnType<BlobStore['upload']>>;
          return {
            write: async (piece: Uint8Array) => await upload.write(piece),
            commit: async () => void (await change(async () => await upload.commit())),
            [Symbol.asyncDispose]: async () => await upload[Symbol.asyncDispose](),
          };
        };
      },
    });
  }
}

/** The world's store as it is now, for one that may die at work on it. */
export async function copyOf({ store, clock }: World): Promise<MemoryStore> {
  const copy = new MemoryStore({ clock });
  for await (const { id, timestampMs } of store.list('', { signal: never })) {
    await copy.put(id, await store.get(id, { signal: never }), { signal: never });
    copy.setTimestamp(id, timestampMs);
  }
  return copy;
}
