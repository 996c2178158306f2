import assert from 'node:assert/strict';
import { test } from 'node:test';

import { requirePeer } from '../peers/peers.ts';
import { simulate } from './simulation.ts';

/**
 * `npm run test:maintenance` goes through ten thousand. In the first of these, a maintenance that takes no mark off loses
 * something at step 118, in the last at 33; in all of them one that drops after a single collection does before step 40.
 */
const runs = [
  { seed: 1, steps: 150, format: 'epochs' },
  { seed: 2, steps: 60, format: 'epochs' },
  { seed: 5, steps: 60, format: 'legacy' },
] as const;
/** A command of kopia takes as long as ten other steps. */
const withKopia = [
  { seed: 4, steps: 60, share: 0.2, format: 'epochs' },
  { seed: 5, steps: 40, share: 0.2, format: 'legacy' },
] as const;

for (const { seed, steps, format } of runs) {
  test(`maintenance > nothing that is visible is lost, whoever acts when (${format}, seed ${seed}, ${steps} steps)`, async () => {
    const result = await simulate({ seed, steps, format });
    assert.ok(result.maintenances > 5 && result.snapshots > 0, JSON.stringify(result));
    assert.ok(result.droppedContents, 'contents were dropped');
  });
}

for (const { seed, steps, share, format } of withKopia) {
  test(`maintenance > nothing that is visible is lost with a kopia among those who act (${format})`, async (context) => {
    const program = await requirePeer(context, 'kopia-clock');
    if (program === undefined) return;
    const result = await simulate({ seed, steps, format, kopia: { program, share } });
    assert.ok(result.maintenances > 3, JSON.stringify(result));
    assert.ok(result.kopia.snapshots > 0 && result.kopia.maintenances > 0, JSON.stringify(result));
  });
}
