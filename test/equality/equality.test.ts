/** A restored volume is the snapshot, byte for byte: size, holes and tail, whatever happened before. */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { seededRng } from '../../src/std/rng.ts';
import { createEngine, problemsOf } from '../support/engine.ts';
import { drayJson, runDray, type BackupPrinted } from '../support/run-dray.ts';
import { memoryFolder, temporaryFolder } from '../support/temporary.ts';
import { dataBytes, firstDifference, writeVolume, type VolumePiece } from '../support/volume-model.ts';
import { Chain, type Step } from './chain.ts';

const mib = 1024 * 1024;
const sizes = [0, 1, 4095, 4096, mib - 1, mib, mib + 1, 3 * mib + 17, 64 * mib - 1, 64 * mib, 64 * mib + 1, 130 * mib];

const size = fc.constantFrom(...sizes);
/** Where chunks, nodes and the ends of volumes are. */
const offset = fc
  .tuple(fc.constantFrom(0, 4096, mib, 2 * mib, 64 * mib, 128 * mib), fc.constantFrom(-70_000, -4096, -1, 0, 1, 4097))
  .map(([at, by]) => Math.max(0, at + by));
const piece: fc.Arbitrary<VolumePiece> = fc.record({
  offset,
  lengthBytes: fc.constantFrom(1, 4096, 65_536, 100_000, mib, 2 * mib + 5),
  kind: fc.constantFrom('random', 'text', 'zeros'),
  seed: fc.nat({ max: 1000 }),
});
const write: fc.Arbitrary<Step> = piece.map((value) => ({ kind: 'write', piece: value }));
const resize: fc.Arbitrary<Step> = size.map((sizeBytes) => ({ kind: 'resize', sizeBytes }));
const take: fc.Arbitrary<Step> = fc
  .constantFrom('scan', 'list', 'list', 'flat')
  .map((how) => ({ kind: 'backup', how }) as const);
const remove: fc.Arbitrary<Step> = fc
  .float({ min: 0, max: Math.fround(0.99), noNaN: true })
  .map((which) => ({ kind: 'delete', which }));
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: write },
    { weight: 1, arbitrary: resize },
    { weight: 4, arbitrary: take },
    { weight: 1, arbitrary: remove },
  ),
  { minLength: 6, maxLength: 20 },
);

describe('a restored volume', () => {
  test('equals its snapshot: any sizes, holes, tails, increments, resizes and deletions', async () => {
    await fc.assert(
      fc.asyncProperty(size, steps, async (first, life) => {
        await using folder = await temporaryFolder('equality');
        await using memory = await memoryFolder('equality');
        const engine = await createEngine(memory.path);
        const chain = new Chain(engine, folder.path);
        await chain.begin(first);
        for (const step of [...life, { kind: 'backup', how: 'list' } as const]) await chain.apply(step);
        await chain.checkAll();
        assert.deepEqual(await problemsOf(engine), []);
      }),
      { numRuns: Number(process.env['DRAY_EQUALITY_RUNS'] ?? 5), seed: 77, endOnFailure: true },
    );
  });

  test('equals its snapshot at the end of 30 increments, and so does each of the 30, but for those deleted', async () => {
    await using folder = await temporaryFolder('equality');
    await using memory = await memoryFolder('equality');
    const engine = await createEngine(memory.path);
    const chain = new Chain(engine, folder.path);
    const rng = seededRng(30);
    await chain.begin(130 * mib + 4097);
    await chain.apply({ kind: 'write', piece: { offset: 0, lengthBytes: 5 * mib, kind: 'random', seed: 1 } });
    await chain.apply({ kind: 'write', piece: { offset: 60 * mib + 1, lengthBytes: 6 * mib, kind: 'text', seed: 2 } });
    await chain.apply({ kind: 'backup', how: 'scan' });
    for (let increment = 1; increment <= 30; increment++) {
      for (let writes = 0; writes < 3; writes++) {
        const at = Math.floor(rng.uniform() * 130 * mib);
        const lengthBytes = 1 + Math.floor(rng.uniform() * 200_000);
        const kind = writes === 2 ? 'zeros' : 'random';
        await chain.apply({ kind: 'write', piece: { offset: at, lengthBytes, kind, seed: increment * 3 + writes } });
      }
      if (increment % 10 === 0) await chain.apply({ kind: 'resize', sizeBytes: (130 + increment) * mib - increment });
      await chain.apply({ kind: 'backup', how: increment % 4 === 0 ? 'scan' : 'list' });
      if (increment % 6 === 0) await chain.apply({ kind: 'delete', which: 0.4 });
    }
    assert.equal(await chain.checkAll(), 26);
    assert.deepEqual(await problemsOf(engine), []);
  });

  test('equals its snapshot on the command line: every special size, a new file and one over garbage', async () => {
    await using folder = await temporaryFolder('equality');
    const place = { repository: join(folder.path, 'r'), cache: join(folder.path, 'c'), password: 'equality' };
    assert.equal((await runDray(place, ['repository', 'create'])).exitCode, 0);
    for (const sizeBytes of [0, 4095, mib + 1, 64 * mib + 1]) {
      const source = join(folder.path, `volume-${sizeBytes}`);
      const target = `${source}.restored`;
      const end = Math.max(0, sizeBytes - 5000);
      const pieces = [
        { offset: 0, lengthBytes: 300_000, kind: 'text', seed: 5 },
        { offset: end, lengthBytes: 5000, kind: 'random', seed: sizeBytes },
      ] as const;
      await writeVolume(source, { sizeBytes, pieces });
      const { snapshot } = await drayJson<BackupPrinted>(place, ['backup', source]);
      await drayJson(place, ['restore', snapshot, target]);
      assert.equal(await firstDifference(source, target), undefined);
      assert.ok((await stat(target)).blocks * 512 <= (await dataBytes(source)) + 65_536);
      const garbage = { offset: 0, lengthBytes: 3 * mib, kind: 'random', seed: 666 } as const;
      await writeVolume(target, { sizeBytes: 2 * mib, pieces: [garbage] });
      await drayJson(place, ['restore', snapshot, target, '--delta']);
      assert.equal(await firstDifference(source, target), undefined);
    }
  });
});
