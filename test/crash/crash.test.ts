/** A few of the kills that `npm run test:crash` does by the hundred. Seeds are fixed: a failure can be had again. */
import assert from 'node:assert/strict';
import { copyFile, cp, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { attachLoop, loopDevicesMissing, type LoopDevice } from '../kernel/loop-device.ts';
import { findKopia } from '../peers/peers.ts';
import { firstDifference } from '../support/volume-model.ts';
import { memoryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { drayJson, type BackupPrinted, type DrayPlace, type RestorePrinted } from '../support/run-dray.ts';
import { makeCrashWorld, must, type CrashWorld } from './crash-volume.ts';
import { killBackup, restoresEqual } from './kill-backup.ts';
import { killRestore } from './kill-restore.ts';
import { runAndKill } from '../support/run-and-kill.ts';

const points = 10;
/** Of the full size: three checkpoints instead of ten. */
const scale = 0.35;

describe('an interruption by', () => {
  let folder: TemporaryFolder;
  let world: CrashWorld;
  let loop: LoopDevice | undefined;
  let kopia: string | undefined;

  before(async () => {
    folder = await memoryFolder('crash', { roomBytes: 4 * 2 ** 30 });
    world = await makeCrashWorld(folder.path, { scale });
    kopia = await findKopia();
    if (loopDevicesMissing() === false) loop = await attachLoop(1024 * 1024 * 1024);
  });
  after(async () => {
    await loop?.[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  for (let seed = 1; seed <= points; seed++) {
    test(`kill -9 of a backup at a random point loses nothing, and the next run goes on (seed ${seed})`, async (t) => {
      // The real kopia takes longer than all the rest; the full run asks it every time.
      const result = await killBackup(world, { seed, kopia: seed <= 2 ? kopia : undefined });
      assert.equal(result.seed, seed);
      t.diagnostic(JSON.stringify(result));
    });
  }

  test('kill -9 of a backup whose source is then changed by one byte: the next run reads everything again', async () => {
    const place = await pointOf(world, 'changed');
    const source = join(folder.path, 'points', 'changed', 'volume.img');
    await copyFile(world.source, source);
    const args = ['backup', source];
    const run = { args, counter: 'rchar', fromBytes: world.runBytes * 0.8, pauseMs: 0 } as const;
    assert.equal((await runAndKill(place, run)).killed, true);
    await using file = await open(source, 'r+');
    await file.write('!', 4711);
    const next = await drayJson<BackupPrinted>(place, args);
    // The copy may have data where the original has holes.
    assert.ok(!next.resumed && next.readBytes >= world.runBytes, JSON.stringify(next));
    await restoresEqual(place, next.snapshot, source, `${source}.restored`);
  });

  for (let seed = 1; seed <= points; seed++) {
    test(`kill -9 of a restore at a random point shows nothing half, and the next run goes on (seed ${seed})`, async (t) => {
      t.diagnostic(JSON.stringify(await killRestore(world, { seed, device: loop?.device })));
    });
  }

  test('Ctrl-C of a backup ends with 130, says how to go on, and the next run does', async () => {
    const place = await pointOf(world, 'interrupted');
    const args = ['backup', world.source];
    const run = { args, counter: 'rchar', fromBytes: world.runBytes * 0.8, pauseMs: 0, signal: 'SIGINT' } as const;
    const { ended } = await runAndKill(place, run);
    assert.equal(ended.exitCode, 130, ended.stderr);
    assert.match(ended.stderr, /ending cleanly; once more ends now/);
    assert.match(ended.stderr, /next: Nothing is lost: run the same command again and it goes on/);
    assert.deepEqual(await drayJson(place, ['snapshot', 'list']), []);
    assert.deepEqual(await unfinishedBlobs(place.repository), [], 'an unfinished blob was left behind');
    await must(place, ['repository', 'verify', '--level', 'data']);
    const next = await drayJson<BackupPrinted>(place, args);
    assert.ok(next.resumed && next.readBytes < world.runBytes, JSON.stringify(next));
  });

  test('Ctrl-C of a restore ends with 130, shows no target, and the next run goes on', async () => {
    const place = { ...world.whole, cache: join(folder.path, 'interrupted-cache') };
    const target = join(folder.path, 'points', 'interrupted.img');
    const args = ['restore', world.snapshot, target];
    const run = { args, counter: 'wchar', fromBytes: world.runBytes * 0.7, pauseMs: 0, signal: 'SIGINT' } as const;
    const { ended } = await runAndKill(place, run);
    assert.equal(ended.exitCode, 130, ended.stderr);
    assert.match(ended.stderr, /next: Nothing is lost: run the same command again and it goes on/);
    await assert.rejects(open(target), { code: 'ENOENT' });
    const next = await drayJson<RestorePrinted>(place, args);
    assert.ok(next.resumed && next.fetchedBytes < world.runBytes, JSON.stringify(next));
    assert.equal(await firstDifference(world.source, target), undefined);
  });
});

/** A repository of its own, empty. */
async function pointOf(world: CrashWorld, name: string): Promise<DrayPlace> {
  const folder = join(world.folder, 'points', name);
  const place = { repository: join(folder, 'repository'), cache: join(folder, 'cache'), password: world.password };
  await cp(world.templates[0]!, place.repository, { recursive: true });
  return place;
}

async function unfinishedBlobs(repository: string): Promise<readonly string[]> {
  return (await readdir(repository, { recursive: true })).filter((name) => name.includes('.tmp.'));
}
