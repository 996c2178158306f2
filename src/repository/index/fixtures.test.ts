import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { DirectoryStore } from '../../blobs/directory/directory-store.ts';
import { systemClock } from '../../std/clock.ts';
import { systemRng } from '../../std/rng.ts';
import { ContentCodec } from '../content/content-codec.ts';
import { contentId } from '../content/content-id.ts';
import { fixtureNames, readFixture } from '../format/format-fixtures.ts';
import { openFormat } from '../format/format-store.ts';
import { IndexSet } from './index-set.ts';

const root = join(import.meta.dirname, '../../../test/fixtures/kopia');
const signal = new AbortController().signal;

/** What `kopia index list` and `kopia content list --deleted` say, as far as it is compared here. */
interface ExpectedIndex {
  readonly password: string;
  readonly indexBlobs: readonly { readonly id: string }[];
  readonly contents: readonly {
    readonly contentID: string;
    readonly packFile: string;
    readonly packOffset: number;
    readonly length: number;
    readonly originalLength: number;
    readonly compression?: number;
    readonly formatVersion: number;
    readonly time: number;
    readonly deleted: boolean;
  }[];
}

for (const name of fixtureNames()) {
  test(`fixture ${name} > the index is what Kopia says it is`, async (context) => {
    const expected = readFixture(name).expected as unknown as ExpectedIndex;
    await using store = await DirectoryStore.open(join(root, name, 'repository'), {
      signal,
      clock: systemClock,
      rng: systemRng,
    });
    const opened = await openFormat(store, { password: expected.password, clock: systemClock, signal });
    const cacheDirectory = await mkdtemp(join(tmpdir(), 'index-fixture-'));
    context.after(async () => await rm(cacheDirectory, { recursive: true, force: true }));
    const codec = new ContentCodec(opened.format);
    const cacheKey = opened.deriveKey('index cache of a test', 32);
    const parts = { store, codec, format: opened.format, cacheDirectory, cacheKey, clock: systemClock, signal };
    for (const _pass of ['cold', 'warm']) {
      await using set = await IndexSet.open(parts);
      assert.deepEqual(set.activeBlobs, expected.indexBlobs.map(({ id }) => id).toSorted());
      const contents = [...set.entries()].map((entry) => ({
        contentID: entry.contentId as string,
        packFile: entry.packBlob as string,
        packOffset: entry.packOffset,
        length: entry.packedLength,
        originalLength: entry.originalLength,
        compression: entry.compression,
        formatVersion: entry.formatVersion,
        time: entry.timestampSeconds,
        deleted: entry.deleted,
      }));
      const wanted = expected.contents.map((content) => ({ ...content, compression: content.compression ?? 0 }));
      assert.deepEqual(
        contents,
        wanted.toSorted((a, b) => (a.contentID < b.contentID ? -1 : 1)),
      );
      for (const { contentID, packOffset, packFile } of wanted) {
        const found = set.find(contentId(contentID));
        assert.deepEqual([found?.packBlob, found?.packOffset], [packFile, packOffset]);
      }
    }
  });
}
