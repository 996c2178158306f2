/** A few rounds of each case; `npm run test:torture` is for many. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileSystemsMissing } from '../support/file-system.ts';
import { cases } from './cases.ts';
import { torture } from './torture.ts';

const skip = fileSystemsMissing('xfs', 'btrfs', 'ext4');
const options = { rounds: 4, backupEvery: 2 };

for (const [seed, one] of cases.entries()) {
  test(`${one.name} > every change is reported, and every backup restores as it was`, { skip }, async () => {
    const tally = await torture(one, { ...options, seed });
    assert.equal(tally.missed, 0);
    assert.ok(tally.changed > 0);
    assert.deepEqual([tally.backups, tally.byExtents], [2, 1], 'the second backup is told what changed');
  });
}
