/**
 * The copy of the format blob that every pack of format version 1 begins with (Kopia `format_blob.go`), so that the blob
 * can be found again from any pack: `u16 LE length ‖ blob ‖ HMAC-SHA256 of it ‖ u16 LE length`.
 */
import { createHmac } from 'node:crypto';

import { RepositoryError } from '../repository-error.ts';

/** Of the blob and its checksum. */
const replicaBytesMax = 65_000;

/** @throws {RepositoryError} `corrupt` when the blob is longer than Kopia would copy. */
export function formatReplica(formatBlob: Uint8Array): Uint8Array {
  const checksum = createHmac('sha256', 'kopia-repository').update(formatBlob).digest();
  const lengthBytes = formatBlob.length + checksum.length;
  if (lengthBytes > replicaBytesMax) {
    throw new RepositoryError('corrupt', `a format blob of ${formatBlob.length} bytes in format version 1`);
  }
  const length = Buffer.alloc(2);
  length.writeUInt16LE(lengthBytes);
  return Buffer.concat([length, formatBlob, checksum, length]);
}
