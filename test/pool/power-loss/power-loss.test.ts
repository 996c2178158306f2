/** A few of the points that `npm run test:pool-crash` does by the hundred. Seeds are fixed: a failure can be had again. */
import { after, before, describe, test } from 'node:test';
import { fileSystemsMissing } from '../../support/file-system.ts';
import { killPoint, powerPoint } from './points.ts';
import { makePoolWorld, type PoolWorld } from './world.ts';

const points = { xfs: 6, btrfs: 4 } as const;

for (const kind of ['xfs', 'btrfs'] as const) {
  describe(`a pool on ${kind} loses nothing`, { skip: fileSystemsMissing('xfs', 'ext4', kind) }, () => {
    let world: PoolWorld;

    before(async () => {
      world = await makePoolWorld(kind);
    });
    after(async () => {
      await world[Symbol.asyncDispose]();
    });

    for (let seed = 1; seed <= points[kind]; seed += 1) {
      test(`when it is changed by a process that is killed (seed ${seed})`, async (t) => {
        t.diagnostic(JSON.stringify(await killPoint(world, seed)));
      });
      test(`when the power is lost (seed ${seed})`, async (t) => {
        t.diagnostic(JSON.stringify(await powerPoint(world, seed)));
      });
    }
  });
}
