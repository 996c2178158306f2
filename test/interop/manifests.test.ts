/** Many small writes: manifests are merged into one content, by us or by kopia, and nothing in them may change. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { listSnapshots } from '../../src/repository/manifest/snapshot.ts';
import { contentOf } from '../../src/repository/object/object-id.ts';
import type { KopiaClient } from '../peers/peers.ts';
import { openReader, writeManifests } from './reader.ts';
import { identity, image, openSite, password, writeSources } from './site.ts';

const signal = AbortSignal.timeout(300_000);

test('policies that kopia wrote outlive our merging of manifests to the letter, int64 included', async (context) => {
  await using site = await openSite(context);
  if (site === undefined) return;
  const { kopia, folder } = site;
  const { files } = await writeSources(folder, image(1));
  await kopia.create(password, [], identity);
  const huge = ['--max-file-size=9223372036854775807', '--add-ignore=*.tmp <&> \u2028', '--keep-latest=2147483647'];
  await kopia.run(['policy', 'set', files, ...huge, '--compression=s2-default', '--one-file-system=true']);
  await kopia.run(['policy', 'set', '/large', '--max-file-size=2147483648', '--ignore-identical-snapshots=true']);
  await kopia.run(['snapshot', 'create', files, '--tags=colour:blue', '--description=words "in" quotes']);
  const before = await manifestTexts(kopia);
  assert.match(before.get(`policy ${files}`)!, /9223372036854775807/);
  assert.match(before.get('policy /large')!, /2147483648/);

  await using repository = await openReader(site, 'cache', signal);
  await writeManifests(repository, 20, signal);
  const contents = await manifestContents(kopia);
  assert.ok(contents < 16, `${contents} manifest contents were not merged`);
  // A client of its own: one that is connected has kopia's own copy of the manifests.
  await kopia.connect(password, identity);
  assert.deepEqual(await manifestTexts(kopia), before);
  assert.match((await kopia.run(['policy', 'show', files, '--json'])).stdout, /9223372036854775807/);
  await kopia.verify();
});

test('an open reader outlives that kopia merges manifests and rewrites packs under it', async (context) => {
  await using site = await openSite(context);
  if (site === undefined) return;
  const { kopia, folder, dray } = site;
  const sources = await writeSources(folder, image(1));
  await kopia.create(password, [], identity);
  const { snapshot } = await dray.backup(sources.image);
  {
    // One below the number from which both programs merge.
    await using writer = await openReader(site, 'cache-of-the-writer', signal);
    await writeManifests(writer, 15 - (await manifestContents(kopia)), signal);
  }
  await using held = await openReader(site, 'cache-of-the-reader', signal);
  await using other = await openReader(site, 'cache-of-another-reader', signal);
  assert.equal(await manifestContents(kopia), 15);
  // The sixteenth. Kopia merges when it next opens the repository.
  await kopia.run(['policy', 'set', '--global', '--keep-daily=9']);
  await kopia.run(['policy', 'set', '--global', '--keep-daily=8']);
  assert.ok((await manifestContents(kopia)) < 4, 'kopia had to merge the manifest contents');
  const packs = await blobs(kopia, 'q');
  await kopia.maintenanceFull({ safety: 'none' });
  await kopia.maintenanceFull({ safety: 'none' });
  const left = await blobs(kopia, 'q');
  assert.ok(
    packs.some((pack) => !left.includes(pack)),
    'kopia had to remove packs that the reader knew',
  );

  // One reader asks for manifests, which are all elsewhere now, the other for a content that it knows in a lost pack.
  const { snapshots } = listSnapshots(await held.manifests.load({ signal }));
  const found = snapshots.find(({ id }) => id === snapshot);
  assert.ok(found !== undefined);
  const root = contentOf(found.rootEntry.object);
  assert.ok(!left.includes(other.index.find(root)!.packBlob));
  assert.ok((await other.read(root, { signal })).length > 0);
  await dray.verify();
});

/** All manifests that tests did not write, as `kopia manifest show` prints them, by what they are. */
async function manifestTexts(kopia: KopiaClient): Promise<ReadonlyMap<string, string>> {
  const { stdout } = await kopia.run(['manifest', 'list', '--json']);
  const list = JSON.parse(stdout) as { id: string; labels: Record<string, string> }[];
  const texts = new Map<string, string>();
  for (const { id, labels } of list.filter((entry) => entry.labels['type'] !== 'test')) {
    const shown = await kopia.run(['manifest', 'show', id]);
    // Labels come in any order.
    const lines = shown.stdout.split('\n');
    const sorted = [...lines.filter(isLabel).toSorted(), ...lines.filter((line) => !isLabel(line))];
    texts.set(`${labels['type']} ${labels['path'] ?? ''}`, sorted.join('\n'));
  }
  return texts;
}

const isLabel = (line: string): boolean => line.startsWith('// label ');

async function manifestContents(kopia: KopiaClient): Promise<number> {
  const { stdout } = await kopia.run(['content', 'list', '--prefix=m', '--json']);
  return (JSON.parse(stdout) as unknown[]).length;
}

async function blobs(kopia: KopiaClient, prefix: string): Promise<readonly string[]> {
  const { stdout } = await kopia.run(['blob', 'list', `--prefix=${prefix}`, '--json']);
  return (JSON.parse(stdout) as { id: string }[]).map(({ id }) => id);
}
