import assert from 'node:assert/strict';
import { test } from 'node:test';

import { simulate } from './simulation.ts';

/** `npm run test:maintenance` goes through ten thousand. */
const seeds = [1, 2, 3];
const steps = 100;

for (const seed of seeds) {
  test(`maintenance > nothing that is visible is lost, whoever acts when (seed ${seed}, ${steps} steps)`, async () => {
    const result = await simulate({ seed, steps });
    assert.ok(result.maintenances > 5 && result.snapshots > 0, JSON.stringify(result));
    assert.ok(result.droppedContents, 'contents were dropped');
  });
}
