import { hasCode } from '../std/dray-error.ts';
import type { BlobCall, BlobId, BlobStore } from './blob-store.ts';

/**
 * Removes what nobody needs any more. Some stores refuse even to hide what they lock: it then stays, as it would after a crash, for
 * maintenance to come back to; the count of refused removals (`count.ts`) tells the user. @throws {BlobError} all else
 */
export async function removeUnlessLocked(store: BlobStore, id: BlobId, call: BlobCall): Promise<void> {
  try {
    await store.remove(id, call);
  } catch (error) {
    if (!hasCode(error, 'blob-locked')) throw error;
  }
}
