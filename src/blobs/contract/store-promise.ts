/** One of the things that every BlobStore promises (`blob-store.ts`), as something that can be tried on any of them. */
import { seededRng } from '../../std/rng.ts';
import { BlobError, blobId, type BlobId, type BlobMetadata, type BlobStore } from '../blob-store.ts';

export interface StorePromise {
  /** What the store does. */
  readonly sentence: string;
  /** What could happen where it does not. */
  readonly without: string;
  /** Throws where the promise is broken. `store` is empty, and nobody else uses it. */
  readonly check: (store: BlobStore, signal: AbortSignal) => Promise<void>;
}

export const data = (lengthBytes: number, seed = 1): Uint8Array => seededRng(seed).bytes(lengthBytes);

export const name: BlobId = blobId('p0123456789abcdef0123456789abcdef-s01234567');

export async function listed(store: BlobStore, signal: AbortSignal, prefix: string): Promise<BlobMetadata[]> {
  const blobs = await Array.fromAsync(store.list(prefix, { signal }));
  return blobs.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

export function withCode(code: BlobError['code']): (error: unknown) => boolean {
  return (error) => error instanceof BlobError && error.code === code;
}
