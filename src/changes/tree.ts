/**
 * The rung `tree`: what differs between two snapshots in the repository, by their ids alone. It needs no volume, so it
 * also serves where the volumes are gone.
 */
import type { ContentReader } from '../repository/object/content-access.ts';
import { diffTrees, type DiffSide } from '../repository/tree/tree-diff.ts';
import type { Extent } from '../volume/extent.ts';
import { totalBytes } from '../volume/extents.ts';

export interface TreeChanges {
  /** Normal, in whole chunks, within the later one; after a change of size all that is new. */
  readonly extents: readonly Extent[];
  readonly changedBytes: number;
}

/** @throws {RepositoryError} `corrupt`, `content-missing` */
export async function treeChanges(
  reader: ContentReader,
  sides: { readonly before: DiffSide; readonly after: DiffSide },
  { signal }: { readonly signal: AbortSignal },
): Promise<TreeChanges> {
  const extents = await Array.fromAsync(diffTrees(reader, sides, { signal }));
  return { extents, changedBytes: totalBytes(extents) };
}
