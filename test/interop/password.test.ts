import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { KopiaFailed } from '../peers/peers.ts';
import { DrayFailed } from './dray-client.ts';
import { identity, image, openSite, password, writeSources } from './site.ts';

test('a password that either program changed is the one that both take from then on', async (context) => {
  await using site = await openSite(context);
  if (site === undefined) return;
  const { kopia, dray, folder } = site;
  const refusedByDray = (error: unknown): boolean => error instanceof DrayFailed && /password/i.test(error.stderr);
  const sources = await writeSources(folder, image(1));
  await kopia.create(password, [], identity);
  await kopia.run(['snapshot', 'create', sources.volume]);

  const second = 'Zweites Paßwort ☃';
  await kopia.run(['repository', 'change-password', `--new-password=${second}`]);
  await assert.rejects(dray.verify(), refusedByDray);
  dray.password = second;
  await dray.verify();
  const { snapshot } = await dray.backup(sources.image);

  // Kopia cuts white space off what it is told, so nobody could open the repository with it any more.
  for (const DRAY_NEW_PASSWORD of [' third', 'third\n', 'third\u00a0']) {
    await assert.rejects(dray.run(['repository', 'password'], { DRAY_NEW_PASSWORD }), refusedByDray);
  }
  await dray.verify();
  const third = 'third, with spaces';
  await dray.run(['repository', 'password'], { DRAY_NEW_PASSWORD: third });
  await assert.rejects(dray.verify(), refusedByDray);
  // Not `kopia.verify()`: a client that is connected goes on for up to 15 minutes with the format blob in its cache.
  await assert.rejects(kopia.connect(second, identity), KopiaFailed);
  await kopia.connect(third, identity);
  await kopia.verify();
  await kopia.contentVerify();
  dray.password = third;
  const target = join(folder, 'restored.img');
  await dray.restore(snapshot, target);
  assert.ok(image(1).equals(await readFile(target)));
});
