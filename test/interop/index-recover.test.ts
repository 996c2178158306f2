import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import type { KopiaClient } from '../peers/peers.ts';
import { identity, image, openSite, password, writeSources } from './site.ts';

test('kopia finds every content of ours in the packs alone, after all indexes are gone', async (context) => {
  await using site = await openSite(context);
  if (site === undefined) return;
  const { kopia, dray, folder } = site;
  await dray.create();
  await kopia.connect(password, identity);
  const first = await writeSources(folder, image(1));
  const { snapshot } = await dray.backup(first.image);
  await writeSources(folder, image(2));
  await dray.backup(first.image, ['--compression', 'none']);
  const before = await contents(kopia);
  assert.ok(before.length > 10);

  await kopia.run(['index', 'recover', '--delete-indexes', '--commit', '--dangerous-commands=enabled']);
  assert.deepEqual(await contents(kopia), before);
  await kopia.verify();
  await kopia.contentVerify();
  await dray.verify();
  const target = join(folder, 'restored.img');
  await dray.restore(snapshot, target);
  assert.ok(image(1).equals(await readFile(target)));
});

async function contents(kopia: KopiaClient): Promise<readonly unknown[]> {
  const { stdout } = await kopia.run(['content', 'list', '--json']);
  const list = JSON.parse(stdout) as Record<string, unknown>[];
  return list.toSorted((a, b) => (String(a['contentID']) < String(b['contentID']) ? -1 : 1));
}
