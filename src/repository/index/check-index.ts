import { RepositoryError } from '../repository-error.ts';
import { compareKeys } from './compare-keys.ts';
import { IndexTable } from './index-table.ts';

/**
 * Goes through a whole index once, before it is believed: searches and merges rely on its order.
 * @throws {RepositoryError} `corrupt`
 */
export function checkIndex(index: Uint8Array, { keySize }: { readonly keySize: number }): void {
  const table = IndexTable.inMemory(index);
  const { layout } = table;
  if (layout.count > 0 && layout.keySize !== keySize) {
    throw new RepositoryError('corrupt', `an index with keys of ${layout.keySize} bytes among those of ${keySize}`);
  }
  const cursor = table.cursor();
  const previous = Buffer.alloc(layout.keySize);
  for (let first = true; cursor.next(); first = false) {
    if (!first && compareKeys(previous, 0, cursor.key, cursor.keyAt, layout.keySize) >= 0) {
      throw new RepositoryError('corrupt', 'an index whose entries are not in order');
    }
    cursor.key.copy(previous, 0, cursor.keyAt, cursor.keyAt + layout.keySize);
    cursor.check();
  }
}
