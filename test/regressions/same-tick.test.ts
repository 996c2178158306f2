/**
 * With `--trust-mtime`, a file that was written again in the very tick of its file system in which the parent had begun
 * was taken for unchanged: its times were those that the parent had seen.
 */
import assert from 'node:assert/strict';
import { stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { type Clock, systemClock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { backupFile, createEngine } from '../support/engine.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { writeVolume } from '../support/volume-model.ts';

const mib = 1024 * 1024;

function clockAt(nowMs: number): Clock {
  return { ...systemClock, nowMs: () => nowMs };
}

test('a file is only trusted when its times are well before the parent began', async () => {
  await using folder = await temporaryFolder('same-tick');
  const engine = await createEngine(folder.path);
  const image = join(folder.path, 'image');
  await writeVolume(image, { sizeBytes: mib, pieces: [{ offset: 0, lengthBytes: mib, kind: 'random', seed: 1 }] });
  const { ctimeMs } = await stat(image);
  const trusting = { trustMtime: true };
  const rungAfter = async (parentMs: number): Promise<string> => {
    await backupFile({ ...engine, clock: clockAt(parentMs) }, image);
    return (await backupFile({ ...engine, clock: clockAt(parentMs) }, image, trusting)).changes.rung;
  };
  // Each parent is later than the one before, so it is the newest.
  assert.equal(await rungAfter(ctimeMs + 1), 'scan');
  assert.equal(await rungAfter(ctimeMs + 1990), 'scan');
  await assert.rejects(
    backupFile({ ...engine, clock: clockAt(ctimeMs + 3000) }, image, { ...trusting, strict: true }),
    (error) => hasCode(error, 'degraded') && /less than 2 s before the parent/.test(error.message),
  );
  assert.equal(await rungAfter(ctimeMs + 2100), 'mtime');
  // What its owner sets is looked at as well.
  await utimes(image, ctimeMs / 1000, ctimeMs / 1000 + 60);
  const set = (await stat(image)).ctimeMs;
  assert.equal(await rungAfter(set + 10_000), 'scan');
  assert.equal(await rungAfter(set + 70_000), 'mtime');
});

test('a state that the user has named needs no times', async () => {
  await using folder = await temporaryFolder('same-tick');
  const engine = await createEngine(folder.path);
  const image = join(folder.path, 'image');
  await writeVolume(image, { sizeBytes: mib, pieces: [] });
  await backupFile(engine, image, { sourceId: 'nightly' });
  const { changes } = await backupFile(engine, image, { sourceId: 'nightly', trustMtime: true });
  assert.equal(changes.rung, 'mtime');
});
