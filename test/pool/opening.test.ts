/** A pool in an image that two open, make, or close at the same moment: a unit at boot and somebody at a terminal. */
import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { endDevicesBelow, loopDevices, poolPlace, type PoolPlace } from './pool-place.ts';

/** Of an image below `folder`: who loses such a race leaves none. */
const devicesIn = (folder: string): readonly string[] =>
  loopDevices().flatMap(({ file }) => (file.startsWith(`${folder}/`) ? [file] : []));

function mountsAt(place: string): number {
  const lines = run('cat', '/proc/self/mounts').split('\n');
  return lines.filter((line) => line.split(' ')[1] === place).length;
}

interface Both {
  /** What was printed, of each that succeeded. */
  readonly done: readonly Readonly<Record<string, unknown>>[];
  /** What was said, of each that did not. */
  readonly refused: readonly string[];
}

async function atOnce({ dray }: PoolPlace, ...commands: readonly (readonly string[])[]): Promise<Both> {
  const ended = await Promise.all(commands.map(async (args) => await dray(...args, '-o', 'json')));
  const done = ended.filter(({ exitCode }) => exitCode === 0);
  return {
    done: done.map(({ stdout }) => JSON.parse(stdout) as Record<string, unknown>),
    refused: ended.flatMap(({ exitCode, stderr }) => (exitCode === 0 ? [] : [stderr])),
  };
}

describe('a pool in an image', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  test('that two open at once is opened by one, and found open by the other', async () => {
    await using world = await poolPlace('ext4');
    const { told, place, folder } = world;
    await using stack = new AsyncDisposableStack();
    stack.defer(() => endDevicesBelow(folder));
    const image = join(folder, 'pool.img');
    await told('pool', 'create', '--image', image, '--size', '320M');
    for (let round = 0; round < 10; round += 1) {
      await told('pool', 'close');
      // Every other time both write down where the image is.
      const named = round % 2 === 0 ? [] : ['--image', image];
      if (named.length > 0) await rm(join(place.pool, '.dray-pool-image'));
      const open = ['pool', 'open', ...named];
      const { done, refused } = await atOnce(world, open, open);
      assert.deepEqual(refused, [], `round ${round}`);
      assert.equal(done.filter(({ mounted }) => mounted === true).length, 1);
      assert.deepEqual(devicesIn(folder), [image]);
      assert.equal(mountsAt(place.pool), 1);
    }
    await told('pool', 'close');
    assert.deepEqual(await readdir(place.pool), ['.dray-pool-image']);
  });

  test('that two make, or close, at once is made or closed by one, and refused to the other', async () => {
    await using world = await poolPlace('ext4');
    const { told, place, folder } = world;
    await using stack = new AsyncDisposableStack();
    stack.defer(() => endDevicesBelow(folder));
    const create = (name: string): string[] => ['pool', 'create', '--image', join(folder, name), '--size', '320M'];
    const { done, refused } = await atOnce(world, create('one.img'), create('two.img'));
    assert.match(refused.join('\n'), /^dray pool create: there is a pool in .* already\n/);
    assert.equal(done.length, 1);
    const images = (await readdir(folder)).filter((name) => name.endsWith('.img')).map((name) => join(folder, name));
    assert.deepEqual(images, [done[0]?.['image']]);
    assert.deepEqual(devicesIn(folder), images);
    assert.equal(mountsAt(place.pool), 1);
    for (let round = 0; round < 10; round += 1) {
      const closed = await atOnce(world, ['pool', 'close'], ['pool', 'close']);
      assert.equal(closed.done.length, 1, `round ${round}`);
      assert.match(
        closed.refused.join('\n'),
        /^dray pool close: the pool in .* lies in an image, which is not mounted\n/,
      );
      assert.deepEqual(devicesIn(folder), []);
      await told('pool', 'open');
    }
    await told('pool', 'close');
    assert.deepEqual(await readdir(dirname(place.pool)), ['lost+found', 'pool']);
  });
});
