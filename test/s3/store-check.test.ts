/** `dray store check` on buckets: one of a real server, and one that breaks promises. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { requirePeer } from '../peers/peers.ts';
import { startS3Server, testKeys } from '../peers/s3-servers.ts';
import { runDray } from '../support/run-dray.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { startStub } from './stub-server.ts';

Object.assign(process.env, {
  AWS_ACCESS_KEY_ID: testKeys.accessKeyId,
  AWS_SECRET_ACCESS_KEY: testKeys.secretAccessKey,
  AWS_EC2_METADATA_DISABLED: 'true',
});

interface Checked {
  readonly kept: boolean;
  readonly objectLock: { readonly works: boolean; readonly reason?: string };
  readonly promises: readonly { readonly promise: string; readonly kept: boolean; readonly without?: string }[];
}

test('a bucket of a real server keeps every promise', async (context) => {
  if ((await requirePeer(context, 'versitygw')) === undefined) return;
  await using folder = await temporaryFolder('store-check');
  await using server = await startS3Server('versitygw', { tls: true, region: 'us-east-1' });
  await server.makeBucket('checked');
  const place = { repository: server.url('checked', 'volumes'), cache: join(folder.path, 'cache'), password: '' };
  const checked = await runDray(place, ['store', 'check', '-o', 'json']);
  assert.equal(checked.exitCode, 0, checked.stderr + checked.stdout);
  const { promises, objectLock } = JSON.parse(checked.stdout) as Checked;
  assert.ok(promises.every(({ kept }) => kept));
  assert.equal(objectLock.works, false);
  assert.match(objectLock.reason ?? '', /made without object lock/);
  await server.makeBucket('locked', { objectLock: true });
  const locking = await runDray({ ...place, repository: server.url('locked') }, ['store', 'check', '-o', 'json']);
  assert.equal(locking.exitCode, 0, locking.stderr + locking.stdout);
  assert.deepEqual((JSON.parse(locking.stdout) as Checked).objectLock, { works: true });
});

test('a server that ignores conditions is found out, and nothing is left in its bucket', async () => {
  await using folder = await temporaryFolder('store-check');
  await using stub = await startStub();
  stub.objects.set('volumes/mine', Buffer.from('untouched'));
  stub.script = (request) => {
    delete request.headers['if-none-match'];
    return 'serve';
  };
  const repository = `s3://bucket/volumes?endpoint=${stub.place.endpoint}&region=us-east-1`;
  const place = { repository, cache: join(folder.path, 'cache'), password: '' };
  const checked = await runDray(place, ['store', 'check', '--no-tls', '-o', 'json']);
  assert.equal(checked.exitCode, 1, checked.stderr);
  const { kept, promises } = JSON.parse(checked.stdout) as Checked;
  const condition = promises.find(({ promise }) => promise === 'lets one of many conditional puts win');
  assert.deepEqual([kept, condition?.kept], [false, false]);
  assert.match(condition?.without ?? '', /two commands/);
  assert.deepEqual([...stub.objects.keys()], ['volumes/mine']);
});
