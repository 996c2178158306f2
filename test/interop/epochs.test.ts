/**
 * Epochs come and go under dray: kopia compacts, deletes and moves its deletion watermark between our flushes, and at
 * every step both programs see the same contents. Epochs go by the times of blobs, so hours pass by changing those.
 */
import assert from 'node:assert/strict';
import { stat, utimes } from 'node:fs/promises';
import { test } from 'node:test';

import type { Repository } from '../../src/repository/repository.ts';
import { blobFiles } from '../fixtures/open-fixture.ts';
import type { KopiaClient } from '../peers/peers.ts';
import { openReader, writeManifests } from './reader.ts';
import { identity, image, openSite, password, writeSources, type Site } from './site.ts';

const signal = AbortSignal.timeout(300_000);
const roundsMax = 8;

test('both programs see the same contents while epochs are compacted and dropped', async (context) => {
  await using site = await openSite(context);
  if (site === undefined) return;
  const { kopia, dray, folder } = site;
  const sources = await writeSources(folder, image(1));
  await kopia.create(password, [], identity);
  await kopia.run([
    'repository',
    'set-parameters',
    '--epoch-refresh-frequency=3m',
    '--epoch-min-duration=10m',
    '--epoch-cleanup-safety-margin=10m',
    '--epoch-advance-on-count=10',
    '--epoch-checkpoint-frequency=2',
  ]);
  await using held = await openReader(site, 'cache-of-the-reader', signal);
  const seen = new Set<string>();
  for (let round = 0; round < roundsMax && !['xs', 'xr', 'xw'].every((kind) => seen.has(kind)); round += 1) {
    const { snapshot } = await dray.backup(sources.image, ['--parent', 'none']);
    // Several writers: one alone would merge its own index blobs.
    for (const writer of ['one', 'two']) {
      await using repository = await openReader(site, `cache-of-writer-${writer}`, signal);
      await writeManifests(repository, 6, signal);
    }
    await dray.run(['snapshot', 'delete', snapshot]);
    await hourPasses(site);
    await kopia.maintenanceFull({ safety: 'none' });
    const blobs = await blobFiles(site.repository);
    for (const blob of blobs.keys()) seen.add(blob.slice(0, 2));

    const expected = await contentsOf(kopia);
    assert.deepEqual(await contentsSeen(held), expected, `the held reader in round ${round}`);
    await using fresh = await openReader(site, 'cache-of-the-reader', signal);
    assert.deepEqual(await contentsSeen(fresh), expected, `a fresh reader in round ${round}`);
    await dray.verify();
  }
  assert.deepEqual(
    ['xn', 'xs', 'xr', 'xe', 'xw'].filter((kind) => !seen.has(kind)),
    [],
    'every kind of index blob had to come about',
  );
  await kopia.contentVerify();
});

/** Every index blob becomes an hour older. */
async function hourPasses({ repository }: Site): Promise<void> {
  for (const [blob, path] of await blobFiles(repository)) {
    if (!blob.startsWith('x')) continue;
    const time = (await stat(path)).mtimeMs / 1000 - 3600;
    await utimes(path, time, time);
  }
}

type ContentRow = readonly [id: string, pack: string, offset: number, length: number, deleted: boolean];

async function contentsOf(kopia: KopiaClient): Promise<readonly ContentRow[]> {
  const { stdout } = await kopia.run(['content', 'list', '--json', '--deleted']);
  const rows = JSON.parse(stdout) as {
    contentID: string;
    packFile: string;
    packOffset: number;
    length: number;
    deleted: boolean;
  }[];
  return rows
    .map((row): ContentRow => [row.contentID, row.packFile, row.packOffset, row.length, row.deleted])
    .toSorted(byId);
}

async function contentsSeen({ index }: Repository): Promise<readonly ContentRow[]> {
  await index.refresh({ signal });
  const rows: ContentRow[] = [];
  for (const { contentId, packBlob, packOffset, packedLength, deleted } of index.entries()) {
    rows.push([contentId, packBlob, packOffset, packedLength, deleted]);
  }
  return rows.toSorted(byId);
}

function byId(a: ContentRow, b: ContentRow): number {
  return a[0] < b[0] ? -1 : 1;
}
