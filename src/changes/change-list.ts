/**
 * Change lists as files: `{"parent": ID, "extents": [{"offset": N, "length": N}]}`, what `dray snapshot diff -o json`
 * prints and `dray backup --changes` reads. Extents are bytes, in any order, and may overlap.
 */
import * as v from 'valibot';

import { checkSchema, natural, plainObject } from '../std/schema.ts';
import { normalizeExtents } from '../volume/extents.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import { ChangesError } from './changes.ts';

/** A list of one extent per 4 KiB block of a 64 GiB volume; more than that is better served by a scan. */
const extentsMax = 16 * 1024 * 1024;

const schema = plainObject({
  parent: v.pipe(v.string(), v.regex(/^[0-9a-f]{1,64}$/, 'must be a snapshot id')),
  extents: v.pipe(v.array(v.object({ offset: natural, length: natural })), v.maxLength(extentsMax)),
});

export interface ChangeList {
  /** Id, or unique beginning of it, of the snapshot that the extents are relative to. */
  readonly parent: string;
  /** Normal: sorted, not touching, not empty. */
  readonly extents: readonly Extent[];
}

/** @throws {ChangesError} `changes-invalid` naming the first thing that is wrong. */
export function parseChangeList(text: string): ChangeList {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ChangesError('changes-invalid', 'the change list is not JSON', { cause: error });
  }
  const checked = checkSchema(schema, json);
  if (checked.wrong !== undefined) throw new ChangesError('changes-invalid', `the change list: ${checked.wrong}`);
  const extents: Extent[] = [];
  for (const { offset, length } of checked.value.extents) {
    if (!Number.isSafeInteger(offset + length)) {
      throw new ChangesError('changes-invalid', `the change list: extent ${offset}+${length} ends past 2^53`);
    }
    extents.push(extent(offset, length));
  }
  return { parent: checked.value.parent, extents: normalizeExtents(extents) };
}

/**
 * What must be looked at when the parent had another size: the old short tail and everything behind it count as
 * changed. Extents past the end of the volume are refused: they belong to something else.
 */
export function fitToSize(
  list: Pick<ChangeList, 'extents'>,
  { sizeBytes, parentSizeBytes, chunkBytes }: { sizeBytes: number; parentSizeBytes: number; chunkBytes: number },
): Extent[] {
  const last = list.extents[list.extents.length - 1];
  if (last !== undefined && extentEnd(last) > sizeBytes) {
    const found = `extent ${last.offset}+${last.lengthBytes} ends past the volume's ${sizeBytes} bytes`;
    throw new ChangesError('changes-invalid', `the change list does not fit: ${found}`);
  }
  if (sizeBytes === parentSizeBytes) return [...list.extents];
  const from = Math.min(sizeBytes, Math.floor(Math.min(sizeBytes, parentSizeBytes) / chunkBytes) * chunkBytes);
  return normalizeExtents([...list.extents, extent(from, sizeBytes - from)]);
}
