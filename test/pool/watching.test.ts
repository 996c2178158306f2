/** A watch over fragmented volumes while the pool is full: it waits for room, and says so once. */
import assert from 'node:assert/strict';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Pool } from '../../src/pool/pool.ts';
import { watchFragmented } from '../../src/pool/watch-fragmented.ts';
import { SimClock } from '../support/sim-clock.ts';
import { isErrno } from '../../src/std/atomic-write.ts';
import { systemRng } from '../../src/std/rng.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { empty, fill } from './ballast.ts';
import { makeVolume, smallPool, takeSnapshots, writeAt } from './small-pool.ts';

const mib = 2 ** 20;

/** Until not one more can be made. */
async function makeFolders(path: string): Promise<void> {
  await mkdir(path);
  for (let number = 0; ; number += 1) {
    try {
      await mkdir(join(path, String(number)));
    } catch (error) {
      if (isErrno(error, 'ENOSPC')) return;
      throw error;
    }
  }
}

test(
  'a watch > of a pool without room for so much as a folder rests, says so once, and goes on when there is room',
  { skip: fileSystemsMissing('xfs') },
  async () => {
    await using small = await smallPool();
    const clock = new SimClock(0);
    const pool = Pool.open(small.pool.layout.root, { clock, rng: systemRng });
    const image = await makeVolume(small.pool, 'data');
    await writeAt(image, 0, systemRng.bytes(16 * mib));
    await takeSnapshots(small.pool, ['data@one']);
    for (let offset = 0; offset < 16 * mib; offset += mib) await writeAt(image, offset, systemRng.bytes(4096));
    const folders = join(small.path, 'folders');
    fill(small, 64 * 1024);
    await makeFolders(folders);
    const rests: number[] = [];
    const ended = new AbortController();
    const watching = watchFragmented(pool, {
      volumes: undefined,
      extentsMax: 10,
      onProgress: () => undefined,
      // There is room again after the third try.
      onRest: () => {
        rests.push(clock.monotonicMs() / 60_000);
        if (clock.monotonicMs() >= 3 * 60_000) empty(small);
      },
      signal: ended.signal,
    });
    const full = (await watching.next()).value;
    assert.deepEqual([full.stoppedForRoom, full.gatheredBytes, full.restsMs], [true, 0, 60_000]);
    const gathered = (await watching.next()).value;
    assert.equal(gathered.stoppedForRoom, false, 'it was told again');
    assert(gathered.gatheredBytes > 0);
    assert(rests.length > 3);
    ended.abort();
    await rm(folders, { recursive: true });
  },
);
