/** What every point asks of a pool, after a kill or on the copy of a disk that lost its power. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, open, readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { detachVolume } from '../../../src/pool/attach.ts';
import { checkPool } from '../../../src/pool/check-pool.ts';
import { findFaults } from '../../../src/pool/find-faults.ts';
import { createSnapshots } from '../../../src/pool/create-snapshots.ts';
import { deleteSnapshot } from '../../../src/pool/delete-snapshot.ts';
import { Pool } from '../../../src/pool/pool.ts';
import { flushDevice } from '../../../src/kernel/loop-device.ts';
import { run } from '../../kernel/loop-device.ts';
import { whichHolds, type PoolState, type Thing } from './model.ts';
import { markerBytes, markerName, mountedName, rawName, thingOf } from './operations.ts';
import { mountedDisk, type PoolWorld } from './world.ts';
import { systemClock } from '../../../src/std/clock.ts';
import { systemRng } from '../../../src/std/rng.ts';

const { signal } = new AbortController();

/** The worker was killed: nothing is frozen, the pool is whole and holds one of `expected`, which it resolves with. */
export async function examineKilled(world: PoolWorld, expected: readonly PoolState[]): Promise<PoolState> {
  const { pool, mountPoint } = world;
  // A file system that stays frozen would hang this for ever. What the killed one had written and not synced is there
  // now; that it is not lost later is ours to see to.
  const probe = ['-c', `echo probe > ${join(mountPoint, 'probe')} && sync -f ${mountPoint} && sync -f ${world.root}`];
  await promisify(execFile)('sh', probe, { timeout: 20_000, killSignal: 'SIGKILL' });
  await flushDevice(world.device);
  await checkTwice(pool);
  await onlyKnownDevices(pool);
  const marker = await readFile(join(mountPoint, markerName), 'latin1');
  return await holds(world, pool, { marker, expected });
}

/** The power was lost: the same of a copy of the disk, which also has to work. */
export async function examineCopy(world: PoolWorld, copy: string, expected: readonly PoolState[]): Promise<void> {
  const root = await mkdtemp(join(world.folder, 'copy-'));
  {
    await using _disk = await mountedDisk(copy, root, { kind: world.kind, mkfs: false });
    const pool = Pool.open(root, { clock: systemClock, rng: systemRng });
    await checkTwice(pool);
    // What an unclean reboot leaves to ext4: it replays its journal, and all that was synced is there.
    const marker = await markerIn(world, pool.volume(mountedName).image, { writable: true });
    await holds(world, pool, { marker, expected });
    const name = { volume: mountedName, snapshot: 'after' };
    const request = { madeBy: 'user', needs: [], freezeBoundMs: 10_000, onDropped: () => undefined, signal } as const;
    await createSnapshots(pool, { ...request, snapshots: [name] });
    await deleteSnapshot(pool, name, { force: false, signal });
  }
  await rmdir(root);
}

/** Nothing is damaged, what a killed process left is cleared away, and then there is nothing more to do. */
async function checkTwice(pool: Pool): Promise<void> {
  const options = { dryRun: false, removeDamaged: false, removeUnfinished: false, signal };
  const { findings } = await checkPool(pool, options);
  const lost = findings.filter(({ remedy }) => remedy !== 'remove');
  assert.deepEqual(lost, [], 'something is half or damaged');
  assert.deepEqual(findFaults(pool), []);
  const again = await checkPool(pool, options);
  assert.deepEqual([again.findings, again.recovered, again.mended], [[], [], 0], 'a second check found more');
  assert.deepEqual(await readdir(pool.layout.staging), []);
}

/** Devices of the pool's files are those of its volumes; one that the killed worker had just attached can be detached. */
async function onlyKnownDevices(pool: Pool): Promise<void> {
  const images = new Map(pool.volumes().map(({ image, name }) => [image, name]));
  for (const name of await readdir('/sys/block')) {
    const file = await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '');
    if (!file.startsWith(`${pool.layout.root}/`)) continue;
    const volume = images.get(file.trimEnd());
    assert.ok(volume !== undefined, `/dev/${name} is left of ${file.trimEnd()}, which is no volume`);
    if (volume !== mountedName && volume !== rawName) await detachVolume(pool, volume, { signal });
  }
}

/** The first of `expected` that the pool is, with what nobody could know beforehand filled in. */
async function holds(
  world: PoolWorld,
  pool: Pool,
  { marker, expected }: { readonly marker: string; readonly expected: readonly PoolState[] },
): Promise<PoolState> {
  const found = new Map<string, Thing>();
  for (const { name, image } of pool.volumes()) {
    const thing = await thingOf(image);
    found.set(name, name === mountedName ? { ...thing, digest: null, marker } : thing);
    for (const snapshot of pool.snapshots(name)) {
      const needs = snapshot.record.needs.map(({ repository }) => repository);
      const kept = await thingOf(snapshot.image, needs);
      const inside = name === mountedName ? { marker: await markerOf(world, snapshot.image, kept.digest ?? '') } : {};
      found.set(`${name}@${snapshot.snapshot}`, { ...kept, ...inside });
    }
  }
  whichHolds(expected, found);
  return found;
}

/** A frozen file system needs no journal to be replayed: it is mounted read-only, without. */
async function markerOf(world: PoolWorld, image: string, digest: string): Promise<string> {
  const known = world.markers.get(digest);
  if (known !== undefined) return known;
  const marker = await markerIn(world, image, { writable: false });
  world.markers.set(digest, marker);
  return marker;
}

async function markerIn(
  { folder }: PoolWorld,
  image: string,
  { writable }: { readonly writable: boolean },
): Promise<string> {
  const mountPoint = await mkdtemp(join(folder, 'look-'));
  run('mount', '-t', 'ext4', '-o', writable ? 'loop' : 'loop,ro', image, mountPoint);
  try {
    await using file = await open(join(mountPoint, markerName), 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(markerBytes), 0, markerBytes, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    run('umount', mountPoint);
    await rmdir(mountPoint);
  }
}
