/** Volumes of a pool into a repository and back, by the real program: what is read, kept, removed, resumed and refused. */
import assert from 'node:assert/strict';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { createPool } from '../../src/pool/create-pool.ts';
import { createVolume } from '../../src/pool/create-volume.ts';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import { deleteVolume } from '../../src/pool/delete-volume.ts';
import { holdSnapshot } from '../../src/pool/hold-image.ts';
import { Pool } from '../../src/pool/pool.ts';
import { systemClock } from '../../src/std/clock.ts';
import { seededRng, systemRng } from '../../src/std/rng.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { SnapshotTaking } from '../../src/transfer/take-pool-snapshot.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing, mountedFileSystem, type MountedFileSystem } from '../support/file-system.ts';
import { drayJson, runDray, startDray, type DrayPlace } from '../support/run-dray.ts';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary.ts';

const { signal } = new AbortController();
const parts = { clock: systemClock, rng: systemRng };
const mib = 1024 * 1024;
const onDropped = (): void => undefined;

interface Printed {
  readonly snapshot: string;
  readonly rung: string;
  readonly reason: string;
  readonly passedOver: readonly { readonly rung: string; readonly reason: string }[];
  readonly readBytes: number;
  readonly newBytes: number;
  readonly reportedBytes?: number;
  readonly resumed: boolean;
  readonly poolSnapshot: string;
  readonly removed: readonly string[];
  readonly completed?: { readonly snapshot: string; readonly resumed: boolean; readonly readBytes: number };
  readonly audit?: { readonly chunks: number; readonly missed: readonly number[] };
}

async function write(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.sync();
  await file.close();
}

describe('backup of a volume', { skip: fileSystemsMissing('xfs') }, () => {
  let mounted: MountedFileSystem;
  let folder: TemporaryFolder;
  let place: DrayPlace;
  let pool: Pool;
  const rng = seededRng(1);
  const backup = async (...args: string[]): Promise<Printed> =>
    await drayJson<Printed>(place, ['backup', ...args, '--pool', mounted.path]);
  const refused = async (...args: string[]): Promise<{ exitCode: number | undefined; stderr: string }> =>
    await runDray(place, [...args, '--pool', mounted.path]);
  const isBytes = async (snapshot: string, expected: Uint8Array): Promise<void> => {
    const target = join(folder.path, `${snapshot}.img`);
    await drayJson(place, ['restore', snapshot, target]);
    assert.ok((await readFile(target)).equals(expected));
  };

  before(async () => {
    mounted = await mountedFileSystem('xfs', 2048 * mib);
    folder = await temporaryFolder('volume-backup');
    place = { repository: join(folder.path, 'repository'), cache: join(folder.path, 'cache'), password: 'p' };
    await drayJson(place, ['repository', 'create']);
    pool = await createPool(mounted.path, parts, { signal });
  });
  after(async () => {
    await mounted[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  async function newVolume(name: string, sizeBytes = 80 * mib): Promise<string> {
    const { image } = await createVolume(pool, {
      name,
      sizeBytes,
      sectorBytes: 4096,
      mkfs: undefined,
      onDropped,
      signal,
    });
    await write(image, 0, systemRng.bytes(sizeBytes / 2));
    return image;
  }

  test('reads only what changed, keeps one base, and what it stored is the volume', async () => {
    const image = await newVolume('data');
    const first = await backup('data');
    assert.deepEqual([first.rung, first.passedOver, first.removed], ['scan', [], []]);
    await write(image, 5 * mib + 4096, rng.bytes(8192));
    const second = await backup('data');
    assert.equal(second.rung, 'extents');
    assert.equal(second.reportedBytes, 8192);
    assert.equal(second.readBytes, mib);
    assert.deepEqual(second.removed, [first.poolSnapshot]);
    assert.deepEqual(second.audit?.missed, []);
    await isBytes(second.snapshot, await readFile(image));
    const [base, ...more] = pool.snapshots('data');
    assert.deepEqual([`data@${base?.snapshot}`, more.length, base?.record.needs.length], [second.poolSnapshot, 0, 1]);
    const third = await backup('data');
    assert.deepEqual([third.reportedBytes, third.readBytes, third.newBytes], [0, 0, 0]);
  });

  test('says why it reads everything when the base is gone, and refuses to with --strict', async () => {
    await newVolume('lost', 8 * mib);
    const { poolSnapshot } = await backup('lost');
    const needed = await refused('snapshot', 'delete', poolSnapshot);
    assert.match(needed.stderr, /needed by: backup to/);
    assert.equal(needed.exitCode, 5);
    await drayJson(place, ['snapshot', 'delete', poolSnapshot, '--force', '--pool', mounted.path]);
    const strict = await refused('backup', 'lost', '--strict');
    assert.equal(strict.exitCode, 6, strict.stderr);
    assert.deepEqual(pool.snapshots('lost'), []);
    const again = await backup('lost');
    assert.equal(again.rung, 'scan');
    assert.match(again.passedOver[0]?.reason ?? '', /removed/);
    assert.equal(again.newBytes, 0);
    await deleteVolume(pool, 'lost', { withSnapshots: true, force: true, signal });
    await newVolume('lost', 8 * mib);
    assert.match((await backup('lost')).passedOver[0]?.reason ?? '', /another volume that was named lost/);
  });

  test('on a host of another name a backup goes on from what the pool has', async () => {
    const image = await newVolume('travels', 8 * mib);
    await backup('travels', '--identity', 'root@one');
    for (const identity of ['root@two', 'root@one']) {
      await write(image, mib, rng.bytes(4096));
      const { rung, reportedBytes, completed, snapshot } = await backup('travels', '--strict', '--identity', identity);
      assert.deepEqual([rung, reportedBytes, completed], ['extents', 4096, undefined]);
      await isBytes(snapshot, await readFile(image));
    }
    const listed = await drayJson<readonly object[]>(place, ['snapshot', 'list', 'travels', '--pool', mounted.path]);
    assert.equal(listed.length, 3);
  });

  test("a user's snapshot is stored as it was, stays, and becomes the base", async () => {
    const image = await newVolume('kept', 8 * mib);
    await drayJson(place, ['snapshot', 'create', 'kept', '--name', 'mine', '--pool', mounted.path]);
    const then = await readFile(image);
    await write(image, 0, rng.bytes(4096));
    const first = await backup('kept@mine');
    await isBytes(first.snapshot, then);
    const second = await backup('kept');
    assert.deepEqual([second.rung, second.reportedBytes, second.removed], ['extents', 4096, []]);
    assert.deepEqual(pool.snapshot('kept', 'mine').record.needs, []);
  });

  test('a volume that was reverted, grown or shrunk and grown again is told from its base', async () => {
    const image = await newVolume('moved', 8 * mib);
    await backup('moved');
    await drayJson(place, ['snapshot', 'create', 'moved', '--name', 's', '--pool', mounted.path]);
    await write(image, 0, rng.bytes(mib));
    await backup('moved');
    await drayJson(place, ['volume', 'revert', 'moved@s', '--force', '--pool', mounted.path]);
    const reverted = await backup('moved');
    assert.equal(reverted.rung, 'extents');
    await isBytes(reverted.snapshot, await readFile(image));
    for (const size of ['4M', '12M']) {
      await drayJson(place, [
        'volume',
        'resize',
        'moved',
        '--size',
        size,
        '--shrink',
        '--force',
        '--pool',
        mounted.path,
      ]);
    }
    const resized = await backup('moved');
    assert.equal(resized.rung, 'extents');
    await isBytes(resized.snapshot, await readFile(image));
  });

  test('a base that somebody wrote to is not believed, though the volume was reverted to it', async () => {
    const image = await newVolume('forged', 8 * mib);
    const { poolSnapshot } = await backup('forged');
    const [base] = pool.snapshots('forged');
    assert.ok(base !== undefined);
    const times = join(folder.path, 'times');
    run('touch', '-r', base.image, times);
    await write(base.image, 5 * mib, rng.bytes(4096));
    // As copying tools do, which set the times that they have read.
    run('touch', '-r', times, base.image);
    await drayJson(place, ['volume', 'revert', poolSnapshot, '--force', '--pool', mounted.path]);
    const strict = await refused('backup', 'forged', '--strict');
    assert.equal(strict.exitCode, 6, strict.stderr);
    assert.match(strict.stderr, new RegExp(`the image of ${poolSnapshot} was changed by other hands`));
    const next = await backup('forged');
    assert.equal(next.rung, 'scan');
    assert.match(next.passedOver[0]?.reason ?? '', /changed by other hands/);
    assert.equal(next.audit, undefined, 'nobody has caught anything');
    await isBytes(next.snapshot, await readFile(image));
    assert.equal((await backup('forged', '--strict')).rung, 'extents', 'from the next base on');
  });

  test('a killed run is completed first, from where it was, and leaves nothing', async () => {
    const image = await newVolume('killed', 700 * mib);
    const run = startDray(place, ['backup', 'killed', '--parallel', '1', '--pool', mounted.path]);
    while (pool.snapshots('killed').length === 0) await pause(5);
    // A checkpoint is an index blob of this run; the first stands after 256 MiB.
    const indexBlobs = async (): Promise<number> =>
      (await readdir(place.repository, { recursive: true })).filter(
        (name) => name.startsWith('x') && name.endsWith('.f'),
      ).length;
    for (const before = await indexBlobs(); (await indexBlobs()) === before;) await pause(5);
    run.signal('SIGKILL');
    await run.ended;
    const [left] = pool.snapshots('killed');
    assert.equal(left?.record.needs.length, 1);
    const then = await readFile(image);
    await write(image, 0, rng.bytes(4096));
    const next = await backup('killed');
    assert.ok(next.completed);
    assert.equal(next.completed.resumed, true);
    assert.ok(next.completed.readBytes <= (350 - 64) * mib, String(next.completed.readBytes));
    assert.deepEqual([next.rung, next.reportedBytes], ['extents', 4096]);
    await isBytes(next.completed.snapshot, then);
    assert.deepEqual(
      pool.snapshots('killed').map(({ snapshot: name }) => `killed@${name}`),
      [next.poolSnapshot],
    );
  });

  test('a snapshot that is being read is not deleted, and forgetting a repository releases its bases', async () => {
    await newVolume('read', 8 * mib);
    const { poolSnapshot } = await backup('read');
    const name = poolSnapshot.slice('read@'.length);
    {
      using _held = await holdSnapshot(pool, pool.snapshot('read', name), { signal });
      const forced = await refused('snapshot', 'delete', poolSnapshot, '--force');
      assert.equal(forced.exitCode, 5);
      assert.match(forced.stderr, /being read/);
      const planned = await drayJson(place, ['pool', 'forget', place.repository, '--dry-run', '--pool', mounted.path]);
      const row = (planned as { readonly snapshot: string }[]).find(({ snapshot }) => snapshot === poolSnapshot);
      assert.deepEqual(row, { snapshot: poolSnapshot, removed: false, dryRun: true }, 'what is read would stay');
    }
    await drayJson(place, ['pool', 'forget', place.repository, '--pool', mounted.path]);
    assert.deepEqual(pool.snapshots('read'), []);
  });

  test('a snapshot in the repository becomes a volume, and replaces one only when told', async () => {
    const image = await newVolume('origin', 16 * mib);
    const { snapshot } = await backup('origin');
    const then = await readFile(image);
    await drayJson(place, ['restore', snapshot, 'copy', '--pool', mounted.path]);
    assert.ok((await readFile(pool.volume('copy').image)).equals(then));
    assert.equal(pool.volume('copy').record.sectorBytes, 4096);
    await write(image, 0, rng.bytes(4096));
    const twice = await refused('restore', snapshot, 'origin');
    assert.match(twice.stderr, /already/);
    await drayJson(place, ['snapshot', 'create', 'origin', '--name', 'before', '--pool', mounted.path]);
    await drayJson(place, ['restore', snapshot, 'origin', '--overwrite', '--pool', mounted.path]);
    assert.ok((await readFile(pool.volume('origin').image)).equals(then));
    assert.deepEqual(await readdir(pool.layout.staging), []);
    const next = await backup('origin');
    assert.equal(next.rung, 'extents');
    assert.equal(next.newBytes, 0);
  });

  test('what an interrupted restore has left of another way becomes no part of the volume', async () => {
    await newVolume('first', 16 * mib);
    const { snapshot } = await backup('first');
    const live = join(pool.layout.staging, `restore-second-${snapshot.slice(0, 16)}`, 'live');
    for (const left of ['delta-image', 'image.partial', 'image.partial.state']) {
      await mkdir(live, { recursive: true });
      await writeFile(join(live, left), 'left');
      await drayJson(place, ['restore', snapshot, 'second', '--overwrite', '--pool', mounted.path]);
      assert.deepEqual(await readdir(pool.layout.live('second')), ['image', 'volume.json'], left);
      if (left === 'delta-image') continue;
      await drayJson(place, ['volume', 'delete', 'second', '--pool', mounted.path]);
    }
  });

  test('two backups that begin in the same moment both get a snapshot, and take it back when nothing is stored', async () => {
    await newVolume('rivals', 16 * mib);
    const clock = { ...systemClock, nowMs: () => Date.UTC(2031, 0, 1) };
    const here = Pool.open(mounted.path, { ...parts, clock });
    const onWarning = (): void => undefined;
    const request = { volume: 'rivals', snapshot: undefined, repository: 'ab', url: 'there', onWarning, signal };
    const takings = [1, 2].map(() => new SnapshotTaking(here, { ...request, freezeBoundMs: 5000 }));
    const taken = await Promise.all(takings.map(async (taking) => await taking.taken()));
    const names = taken.map(({ snapshot }) => snapshot.snapshot);
    assert.deepEqual(names.sort(), ['backup-20310101T000000Z', 'backup-20310101T000000Z-2']);
    const held = { volume: 'rivals', snapshot: names[0]! };
    await assert.rejects(deleteSnapshot(here, held, { force: true, signal }), (error) => hasCode(error, 'pool-in-use'));
    for (const taking of takings) await taking[Symbol.asyncDispose]();
    assert.deepEqual(pool.snapshots('rivals'), []);
  });

  test('a backup that is interrupted as soon as its snapshot is there takes it back', async () => {
    await newVolume('brief', 16 * mib);
    const interrupt = new AbortController();
    const isTaken = (): boolean => pool.snapshots('brief').length > 0;
    const monotonicMs = (): number => {
      if (isTaken()) interrupt.abort(new Error('interrupted'));
      return systemClock.monotonicMs();
    };
    const here = Pool.open(mounted.path, { ...parts, clock: { ...systemClock, monotonicMs } });
    const request = { volume: 'brief', snapshot: undefined, repository: 'ab', url: 'there', freezeBoundMs: 5000 };
    const call = { onWarning: () => undefined, signal: interrupt.signal };
    await using taking = new SnapshotTaking(here, { ...request, ...call });
    await assert.rejects(taking.taken(), /interrupted/);
    assert.equal(isTaken(), false);
  });

  test('a wrong password leaves no snapshot and no need', async () => {
    await newVolume('locked', 16 * mib);
    const wrong = join(folder.path, 'wrong');
    await writeFile(wrong, 'q\n');
    const failed = await refused('backup', 'locked', '--password-file', wrong);
    assert.match(failed.stderr, /password/);
    assert.deepEqual(pool.snapshots('locked'), []);
    await drayJson(place, ['snapshot', 'create', 'locked', '--name', 'kept', '--pool', mounted.path]);
    assert.equal((await refused('backup', 'locked@kept', '--password-file', wrong)).exitCode, failed.exitCode);
    assert.deepEqual(pool.snapshot('locked', 'kept').record.needs, []);
  });

  test('what a pool knows by itself cannot be given', async () => {
    const given = await refused('backup', 'data', '--trust-mtime');
    assert.equal(given.exitCode, 2);
    const unknown = await refused('backup', 'nosuch@x');
    assert.equal(unknown.exitCode, 3);
  });
});
