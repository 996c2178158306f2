/** The read cache of commands on a bucket: fewer requests the second time, the same result, and nothing hidden from verification. */
import assert from 'node:assert/strict';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { identity, image, password, writeSources } from '../interop/site.ts';
import { findKopia, KopiaClient, whyWithout } from '../peers/peers.ts';
import { authorityFile, startS3Server, testKeys } from '../peers/s3-servers.ts';
import { type DrayPlace, drayJson, runDray } from '../support/run-dray.ts';
import { memoryFolder } from '../support/temporary.ts';

const signal = AbortSignal.timeout(600_000);
const skip = (await whyWithout('versitygw')) ?? (await whyWithout('kopia')) ?? false;
Object.assign(process.env, {
  AWS_ACCESS_KEY_ID: testKeys.accessKeyId,
  AWS_SECRET_ACCESS_KEY: testKeys.secretAccessKey,
  AWS_EC2_METADATA_DISABLED: 'true',
});

interface Restored {
  readonly requests: { readonly gets: number };
}

test('what a command has read of folders and lists is not asked for again', { skip }, async () => {
  await using folder = await memoryFolder('read-cache');
  await using server = await startS3Server('versitygw');
  await server.makeBucket('volumes');
  const sources = await writeSources(join(folder.path, 'sources'), image(1));
  await using kopia = await KopiaClient.open((await findKopia()) ?? '', 'kopia');
  const endpoint = new URL(server.endpoint).host;
  const storage = ['s3', '--bucket=volumes', '--prefix=r/', `--endpoint=${endpoint}`];
  await kopia.connectTo([...storage, `--root-ca-pem-path=${authorityFile}`], { password, create: true, identity });
  await kopia.run(['snapshot', 'create', sources.files]);
  const id = (await kopia.snapshotList())[0]?.id ?? '';
  const place: DrayPlace = { repository: server.url('volumes', 'r'), cache: join(folder.path, 'cache'), password };
  const cacheFile = join(place.cache, 'read-cache');
  let targets = 0;
  const restore = async (): Promise<number> => {
    const target = join(folder.path, `restored-${targets++}`);
    const { requests } = await drayJson<Restored>(place, ['restore', id, target]);
    assert.deepEqual(await readFile(join(target, 'text.txt')), await readFile(join(sources.files, 'text.txt')));
    return requests.gets;
  };
  await restore();
  const warm = await restore();

  const kept = await readFile(cacheFile);
  await writeFile(
    cacheFile,
    kept.map((byte) => byte ^ 0x20),
  );
  // The tables of indexes are kept apart.
  const cold = await restore();
  assert.ok(warm <= cold - 2, `${cold} reads, or ${warm}`);
  assert.equal(await restore(), warm);
  await rm(cacheFile);
  process.env['DRAY_CACHE_SIZE'] = '0';
  assert.equal(await restore(), cold);
  await assert.rejects(stat(cacheFile), { code: 'ENOENT' });
  process.env['DRAY_CACHE_SIZE'] = 'much';
  assert.match((await runDray(place, ['snapshot', 'ls', id])).stderr, /DRAY_CACHE_SIZE: "much" is not a size/);
  delete process.env['DRAY_CACHE_SIZE'];
  await restore();

  // Damaged in the store: listed from what was kept, and all the same found by those who must know.
  await using store = await S3Store.open(server.place('volumes', 'r/'), {
    signal,
    clock,
    findKeys: async () => testKeys,
  });
  for await (const { id: pack } of store.list('q', { signal })) {
    const bytes = await store.get(pack, { signal });
    await store.put(
      pack,
      bytes.map((byte) => byte ^ 1),
      { signal },
    );
  }
  assert.equal((await runDray(place, ['snapshot', 'ls', id])).exitCode, 0);
  assert.notEqual((await runDray(place, ['repository', 'verify'])).exitCode, 0);
});
