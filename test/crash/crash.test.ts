/** A few of the kills that `npm run test:crash` does by the hundred. Seeds are fixed: a failure can be had again. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { attachLoop, loopDevicesMissing, type LoopDevice } from '../kernel/loop-device.ts';
import { findKopia } from '../peers/peers.ts';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { makeCrashWorld, type CrashWorld } from './crash-volume.ts';
import { killBackup } from './kill-backup.ts';
import { killRestore } from './kill-restore.ts';

const points = 10;
/** Of the full size: three checkpoints instead of ten. */
const scale = 0.35;

describe('kill -9', () => {
  let folder: TemporaryFolder;
  let world: CrashWorld;
  let loop: LoopDevice | undefined;
  let kopia: string | undefined;

  before(async () => {
    folder = await temporaryFolder('crash');
    world = await makeCrashWorld(folder.path, { scale });
    kopia = await findKopia();
    if (loopDevicesMissing() === false) loop = await attachLoop(1024 * 1024 * 1024);
  });
  after(async () => {
    await loop?.[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  for (let seed = 1; seed <= points; seed++) {
    test(`of a backup at a random point loses nothing, and the next run goes on (seed ${seed})`, async (t) => {
      // The real kopia takes longer than all the rest; the full run asks it every time.
      const result = await killBackup(world, { seed, kopia: seed <= 2 ? kopia : undefined });
      assert.equal(result.seed, seed);
      t.diagnostic(JSON.stringify(result));
    });
  }

  for (let seed = 1; seed <= points; seed++) {
    test(`of a restore at a random point shows nothing half, and the next run goes on (seed ${seed})`, async (t) => {
      t.diagnostic(JSON.stringify(await killRestore(world, { seed, device: loop?.device })));
    });
  }
});
