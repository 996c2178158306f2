/**
 * Kill -9 before every single call to the file system that an operation makes, up to the first time that it ends; and loss
 * of power the moment that each has ended.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileSystemsMissing } from '../../support/file-system.ts';
import { afterPoint, callPoint } from './points.ts';
import { makePoolWorld, type PoolWorld } from './world.ts';

/** With the fewest calls that each can be made of. */
const operations = {
  create: 6,
  clone: 6,
  snapshot: 6,
  group: 12,
  write: 1,
  revert: 6,
  delete: 3,
  need: 3,
  resize: 2,
} as const;
const callsMax = 60;
/** The second snapshot is of the clone, which comes first by name, and the revert undoes what is written. */
const operationsInOrder = [
  'create',
  'snapshot',
  'need',
  'clone',
  'snapshot',
  'write',
  'revert',
  'resize',
  'group',
  'delete',
] as const;

describe('killed before any call to the file system', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  let world: PoolWorld;

  before(async () => {
    world = await makePoolWorld('xfs');
    // Two volumes to work on.
    for (let made = 0; made < 2; made += 1) await callPoint(world, { name: 'create', call: 0 });
    await callPoint(world, { name: 'snapshot', call: 0 });
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
  });

  for (const [name, callsMin] of Object.entries(operations) as [keyof typeof operations, number][]) {
    test(`${name} has happened as a whole or not at all`, async (t) => {
      let call = 1;
      while ((await callPoint(world, { name, call })).cut !== undefined) {
        call += 1;
        assert.ok(call < callsMax);
      }
      t.diagnostic(`${call - 1} kills`);
      assert.ok(call > callsMin, 'it was hardly killed');
    });
  }
});

for (const kind of ['xfs', 'btrfs'] as const) {
  describe(
    `when the power is lost the moment it was reported, on ${kind}`,
    { skip: fileSystemsMissing('xfs', kind) },
    () => {
      let world: PoolWorld;

      before(async () => {
        world = await makePoolWorld(kind);
        await callPoint(world, { name: 'create', call: 0 });
      });
      after(async () => {
        await world[Symbol.asyncDispose]();
      });

      for (const name of operationsInOrder) {
        test(`${name} has happened`, async () => await afterPoint(world, name));
      }
    },
  );
}
