/** What an audit that caught a rung of the ladder has left: rungs that a source does without, and snapshots that are suspect. */
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { listSnapshots, type Snapshot } from '../repository/manifest/snapshot.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import { decodeVolumeTags } from '../repository/tree/volume-tags.ts';

/**
 * What the newest complete snapshot says, and the unfinished ones after it: a run that caught a rung and was then
 * interrupted has left its word there. Older ones do not count, or trust could never be given back.
 */
export function untrustedRungs(set: ManifestSet, source: Partial<SnapshotSource>): readonly string[] {
  const found = new Set<string>();
  for (const { tags, incomplete } of listSnapshots(set, source).snapshots.toReversed()) {
    for (const rung of decodeVolumeTags(tags).untrusted ?? []) found.add(rung);
    if (incomplete === undefined) break;
  }
  return [...found].toSorted();
}

/**
 * The snapshots that may lack what a rung has missed, newest first: all that rungs have made since the last scan that
 * `parent` builds on, step by step. Where a step is gone, back to the scan before it.
 */
export function suspectsWith(
  set: ManifestSet,
  source: Partial<SnapshotSource>,
  parent: Snapshot | undefined,
): readonly Snapshot[] {
  const complete = listSnapshots(set, source).snapshots.filter(({ incomplete }) => incomplete === undefined);
  const ids = new Set<string>(complete.map(({ id }) => id));
  const ifThere = (id: string | undefined): string | undefined => (id !== undefined && ids.has(id) ? id : undefined);
  const suspects: Snapshot[] = [];
  // The parent need not be the newest, nor the one before it what it builds on: scans that are beside its line end nothing.
  let next = ifThere(parent?.id);
  for (const snapshot of complete.toReversed()) {
    const tags = decodeVolumeTags(snapshot.tags);
    const isWhole = tags.rung === undefined || tags.rung === 'scan';
    if (snapshot.id === next) next = isWhole ? undefined : ifThere(tags.parent);
    if (!isWhole) suspects.push(snapshot);
    else if (next === undefined) break;
  }
  return suspects;
}
