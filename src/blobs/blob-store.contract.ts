/** What every BlobStore promises (`contract/`), as tests that each implementation and each layer runs. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BlobStore } from './blob-store.ts';
import { storeContract } from './contract/contract.ts';

export interface ContractStore extends AsyncDisposable {
  readonly store: BlobStore;
  /** Everything the store holds besides whole blobs, such as temporary files; empty when it is tidy. */
  leftovers(): Promise<readonly string[]>;
}

const signal = AbortSignal.timeout(60_000);

/** `make` gives an empty store of its own to each test. */
export function blobStoreContract(title: string, make: () => Promise<ContractStore>): void {
  describe(`${title} keeps the blob store's contract`, () => {
    for (const { sentence, check } of storeContract) {
      test(sentence, async () => {
        await using context = await make();
        await using store = context.store;
        await check(store, signal);
        assert.deepEqual(await context.leftovers(), []);
      });
    }
  });
}
