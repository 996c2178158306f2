/**
 * Changes by a dirty bitmap of QEMU's, as NBD servers show it (`qemu:dirty-bitmap:NAME`). A bitmap promises one thing: what was written
 * since it began, or was cleared, is dirty. It does not say when that was. So it serves only a parent that cannot be older than its beginning:
 * - one that was read while the server showed a bitmap of this name, for it had begun by then; or
 * - one whose `--source-id` is the bitmap's name: a checkpoint, where bitmap and frozen state begin together.
 *
 * Only the newest snapshot of an export carries the names (the tag `dray:bitmap`): a bitmap that was cleared after it is of no use to
 * older ones, and if it is deleted they must not come into their right again. What this cannot see: a bitmap that was cleared, or made
 * anew under its name, without a snapshot having ended in between; writes past QEMU. For these there is the audit.
 */
import { bitmapContextPrefix, isDirty } from '../nbd/block-status.ts';
import type { NbdSource } from '../nbd/nbd-source.ts';
import { leafBytes } from '../repository/tree/volume-layout.ts';
import type { VolumeTags } from '../repository/tree/volume-tags.ts';
import { hasCode } from '../std/dray-error.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import { alignOutward } from '../volume/extents.ts';
import type { ChangeOffer } from './ladder.ts';

/** Extents held at most; of more, neighbours are taken together. */
const extentsMax = 1024 * 1024;
/** Names that a tag holds at most; a bitmap beyond them is not known to a snapshot, and the next run reads everything. */
const namesMax = 32;

/** The changes that the bitmap of this name tells of; the source was opened with it. */
export function bitmapOffer(source: NbdSource, name: string): ChangeOffer {
  return {
    rung: 'nbd',
    async since({ tags }, { signal }) {
      const context = bitmapContextPrefix + name;
      if (!source.tellsOf(context)) return { refused: `the server shows no bitmap ${name}` };
      const refused = whyNotSince(tags, source, name);
      if (refused !== undefined) return { refused };
      try {
        return {
          extents: await dirtyExtents(source, context, { signal }),
          reason: `the bitmap ${name} tells what was written`,
        };
      } catch (error) {
        if (!hasCode(error, 'nbd-io')) throw error;
        return { refused: `the server could not read the bitmap ${name}` };
      }
    },
  };
}

/** The tag of a snapshot that is being made of the export: its address, and the bitmaps that have begun. */
export function bitmapTag({ location, bitmaps }: Pick<NbdSource, 'location' | 'bitmaps'>): string {
  return [location.path, ...bitmaps.slice(0, namesMax)].map(encodeURIComponent).join(' ');
}

/** Whether two such tags are of one export. */
export function isSameExport(a: string, b: string): boolean {
  return a.split(' ')[0] === b.split(' ')[0];
}

function whyNotSince({ bitmap, sourceId }: VolumeTags, source: NbdSource, name: string): string | undefined {
  const [address, ...names] = (bitmap ?? '').split(' ');
  if (address !== encodeURIComponent(source.location.path)) {
    return `the parent is not the newest snapshot of this export, so it may be older than the bitmap ${name}`;
  }
  if (names.includes(encodeURIComponent(name)) || sourceId === name) return undefined;
  return `the bitmap ${name} was not there when the parent was made, so it does not tell all that was written since`;
}

async function dirtyExtents(
  source: NbdSource,
  context: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly Extent[]> {
  const { sizeBytes } = source;
  let extents: Extent[] = [];
  let chunkBytes = leafBytes;
  for await (const run of source.status(context, extent(0, sizeBytes), { signal })) {
    if (!isDirty(run)) continue;
    const last = extents.at(-1);
    if (last !== undefined && extentEnd(last) === run.offset) {
      extents[extents.length - 1] = extent(last.offset, last.lengthBytes + run.lengthBytes);
      continue;
    }
    extents.push(extent(run.offset, run.lengthBytes));
    for (; extents.length > extentsMax; chunkBytes *= 2) extents = alignOutward(extents, { chunkBytes, sizeBytes });
  }
  return extents;
}
