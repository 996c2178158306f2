/**
 * Volumes that are far larger than the disk below them. What they cost in full, kopia's reading of every hole included,
 * is recorded by `npm run test:scale` in `results.md`; here stand only bounds that nothing sane comes near.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { requireKopia } from '../peers/peers.ts';
import { scaleRun } from './scale-run.ts';
import { mountXfs, xfsMissing } from './xfs-folder.ts';

const signal = AbortSignal.timeout(600_000);
const gib = 2 ** 30;
const mib = 2 ** 20;

describe('a sparse volume', { skip: xfsMissing() }, () => {
  test('of 128 GiB and a bit goes in and comes out, and kopia finds and leaves it in order', async (context) => {
    const kopia = await requireKopia(context);
    if (kopia === undefined) return;
    await using xfs = await mountXfs();
    const sizeBytes = 128 * gib + 12_345;
    const steps = await scaleRun({ sizeBytes, folder: xfs.path, kopia, byKopia: 'lists', signal });
    for (const { what, peakBytes } of steps) assert.ok(peakBytes < 700 * mib, `${what}: ${peakBytes} bytes`);
  });

  test('of 16 TiB goes in and comes out', async () => {
    await using xfs = await mountXfs();
    const request = { sizeBytes: 16 * 1024 * gib, folder: xfs.path, kopia: '', byKopia: 'none', signal } as const;
    const steps = await scaleRun(request);
    for (const { what, peakBytes } of steps) assert.ok(peakBytes < 700 * mib, `${what}: ${peakBytes} bytes`);
  });
});
