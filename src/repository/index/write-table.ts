/** Writing a table file: piece by piece, so that a merged index is never in memory as a whole. */
import { write } from 'node:fs';
import { promisify } from 'node:util';

import type { BlobId } from '../../blobs/blob-store.ts';
import { encodeEnd, tableHasher } from './table-file.ts';

const writeFd = promisify(write);

export interface TableWrite {
  readonly covers: readonly BlobId[];
  readonly pieces: Iterable<Uint8Array>;
  readonly key: Uint8Array;
  readonly signal: AbortSignal;
}

/** Appends the index, what it covers, and the checksum of both (`table-file.ts`). */
export async function writeTable(fd: number, { covers, pieces, key, signal }: TableWrite): Promise<void> {
  const hasher = tableHasher(key);
  for (const piece of pieces) {
    signal.throwIfAborted();
    hasher.update(piece);
    await writeWhole(fd, piece);
  }
  await writeWhole(fd, encodeEnd(covers, hasher));
}

async function writeWhole(fd: number, piece: Uint8Array): Promise<void> {
  for (let done = 0; done < piece.length;) {
    const { bytesWritten } = await writeFd(fd, piece, done, piece.length - done);
    done += bytesWritten;
  }
}
