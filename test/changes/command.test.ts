/** What `dray backup` says of the rung it used and of those it did not. */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { drayJson, runDray, type BackupPrinted } from '../support/run-dray.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { changeVolume, writeVolume } from '../support/volume-model.ts';

interface Printed extends BackupPrinted {
  readonly reason: string;
  readonly passedOver: readonly { readonly rung: string; readonly reason: string }[];
  readonly reportedBytes?: number;
  readonly audit?: { readonly chunks: number; readonly missed: readonly number[] };
}

test('a list that was caught is passed over with its reason, refused with --strict, and taken again with --trust-changes', async () => {
  await using folder = await temporaryFolder('ladder-command');
  const repository = join(folder.path, 'r');
  const place = { repository, cache: join(folder.path, 'c'), password: 'secret' };
  const [image, list] = [join(folder.path, 'image'), join(folder.path, 'list')];
  const sizeBytes = 4 * 1024 * 1024;
  const write = async (seed: number): Promise<void> =>
    await changeVolume(image, { sizeBytes, pieces: [{ offset: 0, lengthBytes: 9, kind: 'random', seed }] });
  const backup = async (...flags: string[]): Promise<Printed> => await drayJson(place, ['backup', image, ...flags]);
  await writeVolume(image, { sizeBytes, pieces: [{ offset: 0, lengthBytes: sizeBytes, kind: 'random', seed: 1 }] });
  await drayJson(place, ['repository', 'create']);
  const first = await backup('--strict', '--trust-mtime');
  assert.deepEqual([first.rung, first.passedOver], ['scan', []]);

  await write(2);
  await writeFile(list, JSON.stringify({ parent: first.snapshot, extents: [] }));
  const caught = await backup('--changes', list);
  assert.equal(caught.rung, 'scan');
  assert.deepEqual(caught.audit, { chunks: 4, missed: [0] });
  assert.deepEqual(
    caught.passedOver.map(({ rung }) => rung),
    ['list'],
  );

  await write(3);
  await writeFile(list, JSON.stringify({ parent: caught.snapshot, extents: [{ offset: 0, length: 9 }] }));
  const blobs = await readdir(repository, { recursive: true });
  const strict = await runDray(place, ['backup', image, '--changes', list, '--strict']);
  assert.equal(strict.exitCode, 6);
  assert.match(strict.stderr, /list: .*--trust-changes/);
  assert.deepEqual(await readdir(repository, { recursive: true }), blobs, 'nothing was written');

  const table = await runDray(place, ['backup', image, '--changes', list]);
  assert.match(table.stdout, /Changes +scan: an audit caught it/);
  assert.match(table.stdout, /Not used +list: an audit caught it/);
  const trusted = await backup('--changes', list, '--trust-changes');
  assert.deepEqual([trusted.rung, trusted.passedOver, trusted.reportedBytes], ['list', [], 9]);
  const shown = await drayJson<{ readonly tags: Readonly<Record<string, string>> }>(place, [
    'snapshot',
    'show',
    trusted.snapshot,
  ]);
  assert.equal(shown.tags['dray:untrusted'], undefined);
  assert.equal(shown.tags['dray:changed-bytes'], '9');
  assert.equal(shown.tags['dray:audit'], '3 chunks, 0 missed');
  const plain = await backup('--strict');
  assert.deepEqual([plain.rung, plain.reason], ['scan', 'nothing better was on offer'], 'nothing was asked for');
});
