import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KopiaClient, KopiaFailed, requireKopia } from './peers.ts';

test('a real kopia > makes, verifies, restores and maintains a repository through the client', async (t) => {
  const kopia = await requireKopia(t);
  if (kopia === undefined) return;
  const folder = await mkdtemp(join(tmpdir(), 'dray-peers-'));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(async () => await rm(folder, { recursive: true }));
  const source = join(folder, 'disk.img');
  await writeFile(source, Buffer.alloc(3 * 1024 * 1024 + 5, 'drayage'));

  await using client = await KopiaClient.open(kopia, join(folder, 'repository'), { signal: t.signal });
  await client.create('pass word ü', ['--object-splitter=FIXED-1M']);
  await client.run(['snapshot', 'create', source, '--tags=tier:gold']);
  await client.verify();
  await client.contentVerify();
  await client.maintenanceFull({ safety: 'none' });
  const [snapshot, ...others] = await client.snapshotList();
  assert.equal(others.length, 0);
  assert.equal(snapshot?.source.host, 'fixture');
  await client.restore(snapshot.id, join(folder, 'restored.img'));
  assert.deepEqual(await readFile(join(folder, 'restored.img')), await readFile(source));

  await using stranger = await KopiaClient.open(kopia, join(folder, 'repository'), { signal: t.signal });
  await assert.rejects(stranger.connect('wrong'), (error) => error instanceof KopiaFailed && error.exitCode === 1);
});
