/** A clock that is an hour off between runs: nothing is lost, whichever way it jumped. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Clock, systemClock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { backupFile, createEngine, deleteSnapshots, problemsOf, restoreFile, snapshotIds } from '../support/engine.ts';
import { memoryFolder } from '../support/temporary.ts';
import { dataDigest, writeVolume } from '../support/volume-model.ts';

const mib = 1024 * 1024;
const hourMs = 60 * 60 * 1000;

function clockAt(offsetMs: number): Clock {
  return { ...systemClock, nowMs: () => systemClock.nowMs() + offsetMs };
}

describe('a clock that is an hour off', () => {
  for (const [way, offsets] of [
    ['back', [0, -hourMs, -hourMs, 0]],
    ['ahead', [0, hourMs, hourMs, 0]],
    ['to and fro', [hourMs, -hourMs, hourMs, -hourMs]],
  ] as const) {
    test(`${way}: every snapshot is there, whole, and a deleted one stays deleted`, async () => {
      await using folder = await memoryFolder('clock');
      const engine = await createEngine(folder.path);
      const source = join(folder.path, 'volume.img');
      const digests = new Map<string, string>();
      for (const [index, offset] of offsets.entries()) {
        const piece = { offset: index * mib, lengthBytes: 200_000, kind: 'random', seed: index } as const;
        await writeVolume(source, { sizeBytes: 8 * mib, pieces: [piece] });
        const { snapshot } = await backupFile({ ...engine, clock: clockAt(offset) }, source);
        digests.set(snapshot, await dataDigest(source));
      }
      const [first, ...rest] = [...digests.keys()];
      // Told by a clock that is behind the one that made it.
      await deleteSnapshots({ ...engine, clock: clockAt(-2 * hourMs) }, [first!]);
      assert.deepEqual(new Set(await snapshotIds(engine)), new Set(rest));
      for (const id of rest) {
        const target = join(folder.path, `${id}.img`);
        await restoreFile(engine, id, target);
        assert.equal(await dataDigest(target), digests.get(id));
      }
      assert.deepEqual(await problemsOf(engine), []);
    });
  }

  test('does not keep an interrupted backup from being gone on with', async () => {
    await using folder = await memoryFolder('clock');
    const engine = await createEngine(folder.path);
    const source = join(folder.path, 'volume.img');
    const nodes = 30;
    const pieces = Array.from({ length: nodes }, (_, node) => {
      return { offset: node * 64 * mib, lengthBytes: 4096, kind: 'random', seed: node } as const;
    });
    await writeVolume(source, { sizeBytes: nodes * 64 * mib, pieces });
    const stop = new AbortController();
    const often = { checkpointBytes: 1, parallel: 1 };
    const interrupted = backupFile({ ...engine, signal: stop.signal }, source, {
      ...often,
      onProgress: ({ readBytes }) => void (readBytes > 25 * mib && stop.abort(new Error('enough'))),
    });
    await assert.rejects(interrupted, /enough/);
    const { resumed, counts } = await backupFile({ ...engine, clock: clockAt(-hourMs) }, source, often);
    assert.ok(resumed && counts.readBytes < nodes * mib, JSON.stringify(counts));
    assert.deepEqual(await problemsOf(engine), []);
  });
});

test('a backup that was stopped for hours refers to nothing that it had found before, and is gone on with', async () => {
  await using folder = await memoryFolder('clock');
  const engine = await createEngine(folder.path);
  const source = join(folder.path, 'volume.img');
  const piece = { offset: 0, lengthBytes: 10 * mib, kind: 'random', seed: 1 } as const;
  await writeVolume(source, { sizeBytes: 70 * mib, pieces: [piece] });
  const [first] = [await backupFile(engine, source)];
  let offsetMs = 0;
  const clock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + offsetMs };
  // Others may have deleted that snapshot and collected, twice, before it goes on.
  const stopped = backupFile({ ...engine, clock }, source, { onProgress: () => void (offsetMs = 5 * hourMs) });
  await assert.rejects(stopped, (error) => hasCode(error, 'index-conflict'));
  assert.deepEqual(await snapshotIds(engine), [first.snapshot]);
  offsetMs = 0;
  await backupFile({ ...engine, clock }, source, { onProgress: () => void (offsetMs = 3 * hourMs) });
  assert.deepEqual(await problemsOf(engine), []);
});
