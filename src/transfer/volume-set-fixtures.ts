/** Manifests of volumes, for tests of what is chosen among them. */
import { imageDirectory, rootEntry } from '../repository/manifest/image-directory.ts';
import { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { encodeSnapshot } from '../repository/manifest/snapshot.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import { objectId } from '../repository/object/object-id.ts';
import { encodeVolumeTags, type VolumeTags } from '../repository/tree/volume-tags.ts';
import { systemClock as clock } from '../std/clock.ts';
import { systemRng as rng } from '../std/rng.ts';

export const fixtureSource: SnapshotSource = { userName: 'u', host: 'h', path: '/disk' };

export interface FixtureSnapshot {
  readonly tags?: VolumeTags;
  readonly unfinished?: boolean;
  /** What differs from `fixtureSource`. */
  readonly source?: Partial<SnapshotSource>;
}

/** Snapshots, oldest first. */
export function setOf(...made: readonly FixtureSnapshot[]): ManifestSet {
  const set = new ManifestSet({ clock, rng });
  for (const [index, { tags = {}, unfinished = false, source: own }] of made.entries()) {
    const source = { ...fixtureSource, ...own };
    const modified = BigInt(index) * 1_000_000_000n;
    const image = { name: source.path, object: objectId('Ixaa'), sizeBytes: 5, modified };
    const { summary } = imageDirectory(image);
    set.put(
      encodeSnapshot({
        source,
        description: '',
        startTime: modified,
        endTime: modified,
        stats: { totalSizeBytes: 5, files: 1, cachedFiles: 0, dirs: 1, errors: 0 },
        incomplete: unfinished ? 'checkpoint' : undefined,
        rootEntry: rootEntry(source.path, objectId('kaa'), { summary, modified }),
        tags: encodeVolumeTags(tags),
        pins: [],
      }),
    );
  }
  return set;
}
