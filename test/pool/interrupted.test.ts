/** Changes of a pool that are interrupted: what exists by then is told, and nothing else exists. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { Pool } from '../../src/pool/pool.ts';
import { systemClock } from '../../src/std/clock.ts';
import { systemRng } from '../../src/std/rng.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { makeVolume, smallPool, takeSnapshots } from './small-pool.ts';

for (const names of [['data@mon'], ['data@mon', 'logs@mon']]) {
  test(
    `an interrupted command > tells of snapshots that exist by then: ${names.join(', ')}`,
    { skip: fileSystemsMissing('xfs') },
    async () => {
      await using small = await smallPool();
      const { pool } = small;
      for (const name of ['data', 'logs']) await makeVolume(pool, name);
      const interrupt = new AbortController();
      // Asked for the name of each file that a record is written to first.
      const bytes = (lengthBytes: number): Uint8Array => {
        if (pool.snapshots('data').length > 0) interrupt.abort(new Error('interrupted'));
        return systemRng.bytes(lengthBytes);
      };
      const here = Pool.open(pool.layout.root, { clock: systemClock, rng: { ...systemRng, bytes } });
      const taken = await takeSnapshots(here, names, { signal: interrupt.signal });
      assert.equal(interrupt.signal.aborted, true);
      assert.equal(taken.length, names.length);
      assert.equal(pool.volume('data').record.parent, taken[0]?.record.id);
      assert.deepEqual(await readdir(pool.layout.staging), []);
    },
  );
}
