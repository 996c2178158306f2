/** Volumes that only a container has mounted: frozen as any other, and thawed whatever becomes of it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { attachVolume, detachVolume } from '../../src/pool/attach.ts';
import { checkPool } from '../../src/pool/check-pool.ts';
import { cloneStill, stillnessOf } from '../../src/pool/hold-still.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { run } from '../kernel/loop-device.ts';
import { startContainer, type Container } from '../support/container.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { canWrite, untilFrozen } from '../support/frozen-writers.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { type HangingClone, hangingClone, openClone } from './hanging-clone.ts';
import { makeVolume, mountedVolume, signal, smallPool, startRival, takeSnapshots, type Rival } from './small-pool.ts';

interface Contained extends AsyncDisposable {
  readonly container: Container;
  /** There. */
  readonly mountPoint: string;
  /** Leads to the volume's files while the container lives. */
  readonly inside: string;
}

/** Attaches a volume here and mounts it there. */
async function containedVolume(
  pool: Pool,
  name: string,
  how: { readonly chrooted?: boolean; readonly below?: string } = {},
): Promise<Contained> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await temporaryFolder('container'));
  const mountPoint = join(folder, how.below ?? '', 'data');
  await mkdir(mountPoint, { recursive: true });
  const { device } = await attachVolume(pool, name, { readOnly: false, signal });
  stack.defer(async () => void (await detachVolume(pool, name, { signal })));
  const chroot = how.chrooted === true ? { chroot: folder } : {};
  const container = stack.use(await startContainer({ device: device.path, mountPoint, ...chroot }));
  const inside = `/proc/${container.pid}/root${how.chrooted === true ? '/data' : mountPoint}`;
  const owned = stack.move();
  return { container, mountPoint, inside, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

/** Writes, synced and not, until disposed of. */
async function startWriter(folder: string): Promise<AsyncDisposable> {
  const loop = 'cd "$1" && while :; do echo text >> grown; echo $((n += 1)) > "file-$n"; [ $n -lt 500 ] || n=0; done';
  const child = spawn('sh', ['-c', loop, 'sh', folder], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  while (!(await readdir(folder)).includes('file-100')) {
    assert.equal(child.exitCode, null);
    await sleep(20);
  }
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

interface FrozenVolume extends AsyncDisposable {
  readonly pool: Pool;
  readonly contained: Contained;
  readonly clone: HangingClone;
  /** Has it frozen for longer than a test takes, or until the clone is let go. */
  readonly rival: Rival;
}

/** A volume `data` that a container has mounted and another process has frozen. */
async function frozenVolume(): Promise<FrozenVolume> {
  await using stack = new AsyncDisposableStack();
  const { pool } = stack.use(await smallPool());
  await makeVolume(pool, 'data', { mkfs: 'ext4' });
  const contained = stack.use(await containedVolume(pool, 'data'));
  const clone = stack.use(await hangingClone());
  const rival = stack.use(startRival(pool, 'freeze', 'data', '500000', clone.folder));
  assert.equal(await rival.next(), 'ready');
  rival.process.stdin?.write('\n');
  assert.equal(await rival.next(), 'begins');
  await untilFrozen(contained.inside);
  const owned = stack.move();
  return { pool, contained, clone, rival, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

async function marksOf(pool: Pool): Promise<string[]> {
  return (await readdir(pool.layout.staging)).filter((name) => name.startsWith('freezing-'));
}

describe('a volume that only a container has mounted', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  for (const chrooted of [false, true]) {
    test(`is frozen under its writers${chrooted ? ', also where its processes see nothing else' : ''}`, async () => {
      await using small = await smallPool();
      const { pool } = small;
      await makeVolume(pool, 'data', { mkfs: 'ext4', sizeBytes: 64 * 2 ** 20 });
      await using contained = await containedVolume(pool, 'data', { chrooted });
      await using _writer = await startWriter(contained.inside);
      const [snapshot] = await takeSnapshots(pool, ['data@mon']);
      const { consistency, reason } = snapshot!.record;
      assert.deepEqual([consistency, reason], ['frozen', undefined]);
      run('e2fsck', '-f', '-n', snapshot!.image);
      assert.doesNotMatch(run('dumpe2fs', '-h', snapshot!.image), /needs_recovery/);
      await using folder = await temporaryFolder('inside');
      run('mount', '-o', 'ro,loop', snapshot!.image, folder.path);
      try {
        assert.match(await readFile(join(folder.path, 'grown'), 'utf8'), /^(text\n){100,}$/);
      } finally {
        run('umount', folder.path);
      }
      assert.deepEqual(await readdir(pool.layout.staging), []);
    });
  }

  test('is of a group with one that is mounted here', async () => {
    await using small = await smallPool();
    const { pool } = small;
    for (const name of ['here', 'there']) await makeVolume(pool, name, { mkfs: 'ext4' });
    await using _here = await mountedVolume(pool, 'here', 'ext4');
    await using _there = await containedVolume(pool, 'there');
    const snapshots = await takeSnapshots(pool, ['here@one', 'there@one']);
    assert.deepEqual(
      snapshots.map(({ record }) => [record.consistency, record.created]),
      ['frozen', 'frozen'].map((word) => [word, snapshots[0]!.record.created]),
    );
  });

  test('is thawed when dray is killed', async () => {
    await using frozen = await frozenVolume();
    const { pool, contained, rival } = frozen;
    await rival.kill();
    assert.equal(await canWrite(contained.inside), true);
    const [after] = await takeSnapshots(pool, ['data@after']);
    assert.equal(after!.record.consistency, 'frozen');
    assert.deepEqual(await readdir(pool.layout.staging), []);
  });

  test('is thawed by the next change when dray and its guard are killed at once', async () => {
    await using frozen = await frozenVolume();
    const { pool, contained, clone, rival } = frozen;
    const { pid } = rival.process;
    const guards = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    const both = [pid!, ...guards.trim().split(' ').map(Number)];
    assert.equal(both.length, 2);
    for (const word of ['SIGSTOP', 'SIGKILL'] as const) for (const one of both) process.kill(one, word);
    await rival.kill();
    clone.letGo();
    assert.equal((await marksOf(pool)).length, 1);
    const options = { dryRun: false, removeDamaged: false, removeUnfinished: false, signal };
    const { recovered, findings } = await checkPool(pool, options);
    assert.equal(recovered.length, 1);
    assert.deepEqual(findings, []);
    assert.equal(await canWrite(contained.inside), true);
    assert.deepEqual(await marksOf(pool), []);
  });

  test('is whole in its snapshot when the container ends while it is frozen, and nothing of it stays', async () => {
    await using frozen = await frozenVolume();
    const { pool, contained, clone, rival } = frozen;
    await contained.container.kill();
    clone.letGo();
    assert.equal(await rival.next(), 'done');
    assert.deepEqual(await readdir(pool.layout.staging), []);
    // Detaching is refused while anything is left of the mount.
    const { device } = await attachVolume(pool, 'data', { readOnly: false, signal });
    assert.equal(await detachVolume(pool, 'data', { signal }), device.path);
  });

  test('is not frozen where the container has covered it, however long the name of the place is', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    await using contained = await containedVolume(pool, 'data', { below: 'long/'.repeat(300) });
    run('nsenter', '-t', String(contained.container.pid), '-m', 'mount', '-t', 'tmpfs', 'none', contained.mountPoint);
    const [snapshot] = await takeSnapshots(pool, ['data@mon']);
    const { consistency, reason } = pool.snapshot('data', snapshot!.snapshot).record;
    assert.equal(consistency, 'crash');
    assert.match(reason ?? '', /cannot be frozen: .* is mounted read-write at .*long\/long/);
  });

  test('makes no snapshot, and says why, when the container ends just before', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    await using contained = await containedVolume(pool, 'data');
    const stillness = await stillnessOf(pool.volume('data'), { signal });
    await contained.container.kill();
    await using clone = await hangingClone();
    clone.letGo();
    await using files = await openClone(clone.folder);
    const late = cloneStill(pool, [{ stillness, ...files }], { boundMs: 60_000, signal });
    await assert.rejects(
      late,
      (error) => hasCode(error, 'pool-freeze') && /volume data was unmounted from .* meanwhile/.test(error.message),
    );
    assert.deepEqual(await readdir(pool.layout.staging), []);
    const [snapshot] = await takeSnapshots(pool, ['data@after']);
    assert.equal(snapshot!.record.consistency, 'crash');
    assert.match(snapshot!.record.reason ?? '', /no file system on .* is mounted where it could be frozen/);
  });
});
