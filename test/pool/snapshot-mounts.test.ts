/** Snapshots and clones mounted beside their volume, with the options that the README and `snapshot attach --help` tell. */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountFileSystem, unmountFileSystem } from '../../src/kernel/mount.ts';
import { attachSnapshot, attachVolume, detachSnapshot, detachVolume } from '../../src/pool/attach.ts';
import { cloneVolume } from '../../src/pool/create-volume.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { makeVolume, mountedVolume, signal, smallPool, takeSnapshots } from './small-pool.ts';

const named = { volume: 'data', snapshot: 'mon' } as const;
const files = 300;

/** All of them, and nothing that was written after the snapshot. */
async function isAsThen(device: string, type: string, options: readonly string[]): Promise<void> {
  await using folder = await temporaryFolder('beside');
  await mountFileSystem(device, folder.path, { type, options, signal });
  await using mounted = new AsyncDisposableStack();
  mounted.defer(async () => await unmountFileSystem(folder.path));
  const names = (await readdir(folder.path)).filter((name) => name !== 'lost+found');
  assert.equal(names.length, files);
  for (const name of names) assert.equal(await readFile(join(folder.path, name), 'utf8'), name);
}

for (const [type, beside] of [
  ['xfs', { snapshot: ['ro', 'norecovery', 'nouuid'], clone: ['nouuid'] }],
  ['ext4', { snapshot: ['ro'], clone: [] }],
] as const) {
  test(
    `a frozen snapshot of ${type} > is whole beside its volume, read-only, and so is a clone of it`,
    { skip: fileSystemsMissing('xfs', type) },
    async () => {
      await using small = await smallPool();
      const { pool } = small;
      await makeVolume(pool, 'data', { mkfs: type, sizeBytes: 320 * 1024 * 1024 });
      await using inside = await mountedVolume(pool, 'data', type);
      for (let number = 0; number < files; number += 1) {
        await writeFile(join(inside.mountPoint, `file-${number}`), `file-${number}`);
      }
      const [snapshot] = await takeSnapshots(pool, ['data@mon']);
      assert.equal(snapshot?.record.consistency, 'frozen');
      await writeFile(join(inside.mountPoint, 'later'), 'later');
      await using devices = new AsyncDisposableStack();
      const { device } = await attachSnapshot(pool, named, { signal });
      devices.defer(async () => void (await detachSnapshot(pool, named, { signal })));
      await isAsThen(device.path, type, beside.snapshot);
      await cloneVolume(pool, { from: named, name: 'clone', onDropped: () => undefined, signal });
      const cloned = await attachVolume(pool, 'clone', { readOnly: false, signal });
      devices.defer(async () => void (await detachVolume(pool, 'clone', { signal })));
      await isAsThen(cloned.device.path, type, beside.clone);
    },
  );
}

test(
  'a mounted volume > over which something else is mounted is not frozen, nor is that, and its snapshot says so',
  { skip: fileSystemsMissing('xfs', 'ext4') },
  async () => {
    await using small = await smallPool();
    const { pool } = small;
    for (const name of ['data', 'over']) await makeVolume(pool, name, { mkfs: 'ext4' });
    await using inside = await mountedVolume(pool, 'data', 'ext4');
    await using beside = await mountedVolume(pool, 'over', 'ext4');
    await mountFileSystem(beside.mountPoint, inside.mountPoint, { type: 'none', options: ['bind'], signal });
    try {
      const [covered] = await takeSnapshots(pool, ['data@covered']);
      assert.equal(covered?.record.consistency, 'crash');
      assert.match(covered.record.reason ?? '', /cannot be frozen: .* is mounted read-write at/);
      await assert.rejects(takeSnapshots(pool, ['data@both', 'over@both']), (error) => hasCode(error, 'pool-freeze'));
    } finally {
      await unmountFileSystem(inside.mountPoint);
    }
    const [seen] = await takeSnapshots(pool, ['data@seen']);
    assert.equal(seen?.record.consistency, 'frozen');
  },
);
