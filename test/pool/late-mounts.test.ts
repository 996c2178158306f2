/** Volumes whose mounts are others by the time that they are opened to be frozen: nothing is frozen then, least of all what is there now. */
import assert from 'node:assert/strict';
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { mountFileSystem, unmountFileSystem } from '../../src/kernel/mount.ts';
import { attachVolume, detachVolume } from '../../src/pool/attach.ts';
import { cloneStill, type Stillness, stillnessOf } from '../../src/pool/hold-still.ts';
import { isErrno } from '../../src/std/atomic-write.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing, mountedFileSystem, smallestBytes } from '../support/file-system.ts';
import { canWrite } from '../support/frozen-writers.ts';
import { makeVolume, mountedVolume, signal, smallPool, type SmallPool, takeSnapshots } from './small-pool.ts';

interface LookedAt extends AsyncDisposable {
  readonly small: SmallPool;
  /** Where volume `data` is mounted, on a file system that no other test writes to. */
  readonly mountPoint: string;
  readonly stillness: Stillness;
}

/** A mounted volume of which it is known how it can be held still. */
async function lookedAt(): Promise<LookedAt> {
  await using stack = new AsyncDisposableStack();
  const small = stack.use(await smallPool());
  const { pool } = small;
  await makeVolume(pool, 'data', { mkfs: 'ext4' });
  const below = stack.use(await mountedFileSystem('ext4', smallestBytes.ext4));
  const mountPoint = join(below.path, 'data');
  await mkdir(mountPoint);
  const { device } = await attachVolume(pool, 'data', { readOnly: false, signal });
  stack.defer(async () => void (await detachVolume(pool, 'data', { signal })));
  await mountFileSystem(device.path, mountPoint, { type: 'ext4', options: [], signal });
  stack.defer(async () => await unmountFileSystem(mountPoint).catch(() => undefined));
  const stillness = await stillnessOf(pool.volume('data'), { signal });
  assert.deepEqual([stillness.consistency, stillness.mount?.mountPoint], ['frozen', mountPoint]);
  const owned = stack.move();
  return { small, mountPoint, stillness, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

/** What cloning them, as they were found to stand still, throws. */
async function refusalOf({ small: { pool, path } }: LookedAt, stillnesses: readonly Stillness[]): Promise<Error> {
  await using files = new AsyncDisposableStack();
  const opened = async (name: string, flags: string): Promise<FileHandle> => {
    const file = await open(name, flags);
    files.defer(async () => await file.close());
    return file;
  };
  const clones = [];
  for (const stillness of stillnesses) {
    const { image, name } = stillness.volume;
    const [from, to] = [await opened(image, 'r'), await opened(join(path, name), 'w+')];
    clones.push({ stillness, fromFd: from.fd, toFd: to.fd });
  }
  const thrown = await cloneStill(pool, clones, { boundMs: 20_000, signal }).catch((error: unknown) => error);
  assert(thrown instanceof Error && hasCode(thrown, 'pool-freeze'));
  assert.deepEqual(await readdir(pool.layout.staging), []);
  return thrown;
}

describe('a volume that is about to be frozen', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  test('is not when it was unmounted meanwhile, nor is what its place leads to now, and others of its group are let go', async () => {
    await using looked = await lookedAt();
    const { small, mountPoint, stillness } = looked;
    await makeVolume(small.pool, 'other', { mkfs: 'ext4' });
    {
      await using other = await mountedVolume(small.pool, 'other', 'ext4');
      const beside = await stillnessOf(small.pool.volume('other'), { signal });
      await unmountFileSystem(mountPoint);
      const { message } = await refusalOf(looked, [beside, stillness]);
      assert.equal(message, `volume data was unmounted from ${mountPoint} meanwhile`);
      for (const folder of [mountPoint, other.mountPoint]) assert.equal(await canWrite(folder), true);
      // Unmounting it is refused while anything of it is open.
    }
    const [snapshot] = await takeSnapshots(small.pool, ['data@after']);
    assert.equal(snapshot!.record.consistency, 'crash');
  });

  test('is not when its place cannot be opened, which is told with the reason', async () => {
    await using looked = await lookedAt();
    const { small, mountPoint, stillness } = looked;
    // Its program ends at once: whoever comes there is refused (ENOTCONN).
    const dead = 'exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 dead "$1"';
    run('sh', '-c', dead, 'sh', mountPoint);
    try {
      const { message, cause } = await refusalOf(looked, [stillness]);
      assert.equal(message, 'the file systems could not be held still');
      assert(cause instanceof Error && hasCode(cause, 'freeze-refused'));
      assert.equal(cause.message, `open ${mountPoint} to freeze it`);
      assert(isErrno(cause.cause, 'ENOTCONN'));
    } finally {
      await unmountFileSystem(mountPoint);
    }
    assert.equal(await canWrite(mountPoint), true);
    const [snapshot] = await takeSnapshots(small.pool, ['data@after']);
    assert.equal(snapshot!.record.consistency, 'frozen');
  });
});
