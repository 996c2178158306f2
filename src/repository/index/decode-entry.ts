/** The last step from the bytes of an index to an `IndexEntry`, with the checks that need more than one field. */
import { contentIdFromKey } from '../content/content-id.ts';
import { RepositoryError } from '../repository-error.ts';
import type { IndexEntry } from './index-entry.ts';
import type { EntryFormat, IndexLayout, IndexValue } from './index-layout.ts';

/** @throws {RepositoryError} `corrupt` when the index has no such format. */
export function entryFormat(layout: IndexLayout, formats: readonly EntryFormat[], format: number): EntryFormat {
  if (layout.version === 1) return { compression: 0, formatVersion: format, encryptionKeyId: 0 };
  const found = formats[format];
  if (found === undefined)
    throw new RepositoryError('corrupt', `an index entry has format ${format} of ${formats.length}`);
  return found;
}

/** @throws {RepositoryError} `corrupt` when the prefix is none of `g` to `z`. */
export function toEntry(
  key: Uint8Array,
  value: IndexValue,
  { packBlob, format }: { readonly packBlob: IndexEntry['packBlob']; readonly format: EntryFormat },
): IndexEntry {
  checkPrefix(key[0]!);
  return {
    contentId: contentIdFromKey(key),
    packBlob,
    packOffset: value.packOffset,
    packedLength: value.packedLength,
    originalLength: value.originalLength,
    compression: format.compression,
    formatVersion: format.formatVersion,
    encryptionKeyId: format.encryptionKeyId,
    deleted: value.deleted,
    timestampSeconds: value.timestampSeconds,
  };
}

/** @throws {RepositoryError} `corrupt` */
export function checkPrefix(prefix: number): void {
  if (prefix !== 0 && (prefix < 0x67 || prefix > 0x7a)) {
    throw new RepositoryError('corrupt', `an index entry has the content prefix ${prefix}`);
  }
}
