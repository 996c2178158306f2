/** The last step from the bytes of an index to an `IndexEntry`, with the checks that need more than one field. */
import { contentIdFromKey } from '../content/content-id.ts';
import type { IndexBytes } from './index-bytes.ts';
import type { IndexEntry } from './index-entry.ts';
import type { EntryFormat, IndexLayout, IndexValue } from './index-layout.ts';

/** What an index says of its entries as a whole. */
export interface EntrySource {
  readonly bytes: IndexBytes;
  readonly layout: IndexLayout;
  readonly formats: readonly EntryFormat[];
}

/** @throws {RepositoryError} what `bytes.damage` makes, when the index has no such format. */
export function entryFormat({ bytes, layout, formats }: EntrySource, format: number): EntryFormat {
  if (layout.version === 1) return { compression: 0, formatVersion: format, encryptionKeyId: 0 };
  const found = formats[format];
  if (found === undefined) throw bytes.damage(`an index entry has format ${format} of ${formats.length}`);
  return found;
}

/** @throws {RepositoryError} as `checkPrefix` */
export function toEntry(
  { bytes }: Pick<EntrySource, 'bytes'>,
  key: Uint8Array,
  value: IndexValue,
  { packBlob, format }: { readonly packBlob: IndexEntry['packBlob']; readonly format: EntryFormat },
): IndexEntry {
  checkPrefix(bytes, key[0]!);
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

/** @throws {RepositoryError} what `bytes.damage` makes, when the prefix is none of `g` to `z`. */
export function checkPrefix(bytes: IndexBytes, prefix: number): void {
  if (prefix !== 0 && (prefix < 0x67 || prefix > 0x7a)) {
    throw bytes.damage(`an index entry has the content prefix ${prefix}`);
  }
}
