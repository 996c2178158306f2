/** Which rungs of the ladder a source does without, because an audit has caught them. */
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { listSnapshots } from '../repository/manifest/snapshot.ts';
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
