/** Arbitrary index entries for property tests. */
import fc from 'fast-check';

import { blobId } from '../../blobs/blob-store.ts';
import { contentIdOf } from '../content/content-id.ts';
import type { IndexEntry } from './index-entry.ts';

export interface EntryRange {
  readonly version?: 1 | 2;
  readonly hashLengthBytes?: number;
  /** How many different hashes there are: a small number makes duplicates. */
  readonly hashes?: number;
}

export function anyEntry({
  version = 2,
  hashLengthBytes = 16,
  hashes = 2 ** 32,
}: EntryRange = {}): fc.Arbitrary<IndexEntry> {
  const lengthMax = version === 1 ? 2 ** 32 - 1 : 2 ** 28 - 1;
  return fc
    .record({
      hash: fc.nat({ max: hashes - 1 }),
      prefix: fc.constantFrom('', '', 'k', 'm', 'z'),
      pack: fc.nat({ max: 20 }),
      packOffset: fc.nat({ max: 2 ** 31 - 1 }),
      packedLength: fc.oneof(fc.nat({ max: 2 ** 20 }), fc.integer({ min: 28, max: lengthMax })),
      originalLength: fc.oneof(fc.nat({ max: 2 ** 20 }), fc.nat({ max: 2 ** 28 - 1 })),
      compression: version === 1 ? fc.constant(0) : fc.constantFrom(0, 0x1100, 0x1103, 2 ** 32 - 1),
      formatVersion: fc.integer({ min: 1, max: 3 }),
      deleted: fc.boolean(),
      timestampSeconds: fc.oneof(fc.integer({ min: 100, max: 104 }), fc.nat({ max: 2 ** 31 - 1 })),
    })
    .map(({ hash, prefix, pack, ...rest }) => ({
      ...rest,
      contentId: contentIdOf(prefix, spread(hash, hashLengthBytes)),
      packBlob: blobId(`${prefix === '' ? 'p' : 'q'}${pack.toString(16).padStart(32, '0')}-s0123456789abcdef123`),
      originalLength: version === 1 ? Math.max(0, rest.packedLength - 28) : rest.originalLength,
      encryptionKeyId: 0,
    }));
}

/** Bytes that look like a hash and depend on nothing but the number. */
export function spread(seed: number, lengthBytes: number): Uint8Array {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0;
  return Uint8Array.from({ length: lengthBytes }, () => {
    state = (Math.imul(state ^ (state >>> 15), 0x85ebca6b) + 0x6d2b79f5) >>> 0;
    return state >>> 24;
  });
}
