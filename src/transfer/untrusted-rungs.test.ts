import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { imageDirectory, rootEntry } from '../repository/manifest/image-directory.ts';
import { encodeSnapshot } from '../repository/manifest/snapshot.ts';
import { objectId } from '../repository/object/object-id.ts';
import { encodeVolumeTags } from '../repository/tree/volume-tags.ts';
import { systemClock as clock } from '../std/clock.ts';
import { systemRng as rng } from '../std/rng.ts';
import { untrustedRungs } from './untrusted-rungs.ts';

const source = { userName: 'u', host: 'h', path: '/disk' };

interface Made {
  readonly untrusted?: readonly string[];
  readonly unfinished?: boolean;
  readonly path?: string;
}

/** Snapshots, oldest first. */
function setOf(...made: readonly Made[]): ManifestSet {
  const set = new ManifestSet({ clock, rng });
  for (const [index, { untrusted, unfinished = false, path = source.path }] of made.entries()) {
    const modified = BigInt(index) * 1_000_000_000n;
    const { summary } = imageDirectory({ name: path, object: objectId('Ixaa'), sizeBytes: 5, modified });
    set.put(
      encodeSnapshot({
        source: { ...source, path },
        description: '',
        startTime: modified,
        endTime: modified,
        stats: { totalSizeBytes: 5, files: 1, cachedFiles: 0, dirs: 1, errors: 0 },
        incomplete: unfinished ? 'checkpoint' : undefined,
        rootEntry: rootEntry(path, objectId('kaa'), { summary, modified }),
        tags: encodeVolumeTags({ untrusted }),
        pins: [],
      }),
    );
  }
  return set;
}

test('untrusted rungs > are those that the newest complete snapshot of the source names', () => {
  assert.deepEqual(untrustedRungs(setOf(), source), []);
  assert.deepEqual(untrustedRungs(setOf({}, { untrusted: ['mtime', 'list'] }), source), ['list', 'mtime']);
  assert.deepEqual(untrustedRungs(setOf({ untrusted: ['list'] }, {}), source), [], 'trust was given back');
  assert.deepEqual(untrustedRungs(setOf({}, { untrusted: ['list'], path: '/other' }), source), []);
});

test('untrusted rungs > a run that was interrupted after it had caught one has left its word', () => {
  const interrupted = setOf({ untrusted: ['mtime'] }, {}, { untrusted: ['list'], unfinished: true });
  assert.deepEqual(untrustedRungs(interrupted, source), ['list']);
  const both = setOf({ untrusted: ['mtime'] }, { untrusted: ['list'], unfinished: true });
  assert.deepEqual(untrustedRungs(both, source), ['list', 'mtime']);
});
