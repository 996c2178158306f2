/**
 * Every operation of a store failing in every way, under a backup and under a restore: either the retries carry it, or
 * it ends with an error that has a code. Either way nothing half is visible, what was there is whole, and a later run
 * without faults completes. Each store counts for itself, so a rule strikes the main thread and every worker.
 */
import assert from 'node:assert/strict';
import { cp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { BlobOperation, Fault, FaultRule } from '../../src/blobs/fault.ts';
import type { RetryOptions } from '../../src/blobs/retry.ts';
import { exitCodeOf } from '../../src/cli/shell/exit-code.ts';
import { DrayError } from '../../src/std/dray-error.ts';
import { backupFile, createEngine, problemsOf, restoreFile, snapshotIds, type Engine } from '../support/engine.ts';
import { memoryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { sameData, writeVolume } from '../support/volume-model.ts';

const mib = 1024 * 1024;
/** More chunks than workers hold at a time. */
const nodes = 20;
const often = { checkpointBytes: 1, parallel: 1 };
const retry: RetryOptions = { attemptsMax: 4, firstPauseMs: 1, pauseMsMax: 4, budgetMs: 30_000 };
const unavailable = 'blob-unavailable';

/** What a scenario may come to. `either`: the operation may be one whose failure does no harm. */
type Expected = 'done' | 'fails' | 'either';

interface Scenario {
  readonly name: string;
  readonly expected: Expected;
  readonly codes?: readonly string[];
  readonly rules: readonly FaultRule[];
}

function scenario(operation: BlobOperation, fault: Fault, when: FaultRule['when'], rest: Partial<Scenario>): Scenario {
  const name = `${operation}: ${JSON.stringify(fault)} when ${JSON.stringify(when)}`;
  return { name, expected: 'either', rules: [{ operations: [operation], when, fault }], ...rest };
}

/** `DRAY_FAULTS=all`: more moments of each fault, and after each failure the whole way back. */
const all = process.env['DRAY_FAULTS'] === 'all';

/** Faults that pass, which retries must carry, and faults that stay, which must end the run. */
function scenariosOf(operation: BlobOperation): Scenario[] {
  const once = (all ? [1, 2, 3, 4, 5, 8] : [1, 3]).flatMap((nth) => [
    scenario(operation, { kind: 'fail', code: unavailable }, { nth }, { expected: 'done' }),
    scenario(operation, { kind: 'fail-after', code: unavailable }, { nth }, { expected: 'done' }),
  ]);
  const sometimes = scenario(operation, { kind: 'fail', code: unavailable }, { probability: 0.2 }, {});
  const slow = scenario(operation, { kind: 'slow', delayMs: 5 }, { from: 1 }, { expected: 'done' });
  const lasting = (all ? [1, 2, 3, 4, 5, 8] : [1, 4]).flatMap((from) => [
    scenario(operation, { kind: 'fail', code: unavailable }, { from }, { codes: [unavailable] }),
    scenario(operation, { kind: 'fail-after', code: unavailable }, { from }, { codes: [unavailable] }),
    scenario(operation, { kind: 'fail', code: 'blob-denied' }, { from }, { codes: ['blob-denied'] }),
  ]);
  return [...once, sometimes, slow, ...lasting];
}

const writing: readonly BlobOperation[] = ['get', 'put', 'upload', 'write', 'commit', 'list', 'remove'];

describe('a store that fails', () => {
  let folder: TemporaryFolder;
  let engine: Engine;
  let source: string;
  let known: { readonly id: string; readonly copy: string };
  let seed = 0;

  before(async () => {
    folder = await memoryFolder('faults');
    engine = { ...(await createEngine(folder.path)), retry };
    source = join(folder.path, 'volume.img');
    const copy = join(folder.path, 'known.img');
    await newVolume(copy);
    known = { id: (await backupFile(engine, copy)).snapshot, copy };
    await cp(engine.path, join(folder.path, 'template'), { recursive: true });
  });
  beforeEach(beginAnew);
  after(async () => await folder[Symbol.asyncDispose]());

  /** What scenarios leave behind would make each one longer than the one before: every listing, every verification. */
  async function beginAnew(): Promise<void> {
    await rm(engine.path, { recursive: true });
    await rm(engine.cache, { recursive: true, force: true });
    await cp(join(folder.path, 'template'), engine.path, { recursive: true });
  }

  /** A little data in each of many nodes, so that there are checkpoints; never seen before. */
  async function newVolume(path: string): Promise<void> {
    const piece = { lengthBytes: 4096, kind: 'random' } as const;
    const pieces = Array.from({ length: nodes }, (_, node) => ({ ...piece, offset: node * 64 * mib, seed: ++seed }));
    await writeVolume(path, { sizeBytes: nodes * 64 * mib + 77, pieces });
  }

  function faulty(rules: readonly FaultRule[]): Engine {
    return { ...engine, cache: join(folder.path, 'cold'), fault: { seed: ++seed, rules } };
  }

  /** @returns the error's code, or undefined when it was done */
  async function failureOf(work: Promise<unknown>, { name, expected, codes }: Scenario): Promise<string | undefined> {
    const failure = await work.then(
      () => undefined,
      (error: unknown) => error,
    );
    await rm(join(folder.path, 'cold'), { recursive: true, force: true });
    if (failure === undefined) {
      assert.notEqual(expected, 'fails', name);
      return undefined;
    }
    assert.ok(failure instanceof DrayError, `${name}: ${failure instanceof Error ? failure.stack : 'no error'}`);
    assert.notEqual(expected, 'done', `${name}: ${failure.message}`);
    const code = String(failure.code);
    if (codes !== undefined) assert.ok(codes.includes(code), `${name}: ${code}`);
    assert.ok(exitCodeOf(failure) > 0);
    return code;
  }

  async function backupUnder(one: Scenario): Promise<string | undefined> {
    await beginAnew();
    await newVolume(source);
    const before = await snapshotIds(engine);
    const failure = await failureOf(backupFile(faulty(one.rules), source, often), one);
    const after = await snapshotIds(engine);
    assert.ok(after.length - before.length <= 1, one.name);
    if (failure === undefined) assert.equal(after.length, before.length + 1, one.name);
    assert.deepEqual(await problemsOf(engine), [], one.name);
    assert.deepEqual(await unfinished(), [], one.name);
    return failure;
  }

  async function unfinished(): Promise<readonly string[]> {
    return (await readdir(engine.path, { recursive: true })).filter((name) => name.includes('.tmp.'));
  }

  /** Without faults: the interrupted work is completed and everything is equal. */
  async function completes(): Promise<void> {
    const { snapshot } = await backupFile(engine, source);
    const target = join(folder.path, 'restored.img');
    await restoreFile(engine, snapshot, target);
    assert.ok(await sameData(source, target));
    await rm(target);
  }

  for (const operation of writing) {
    test(`under a backup: ${operation}`, async (t) => {
      const outcomes: Record<string, number> = {};
      for (const one of scenariosOf(operation)) {
        const outcome = (await backupUnder(one)) ?? 'done';
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        if (all && outcome !== 'done') await completes();
      }
      await completes();
      t.diagnostic(JSON.stringify(outcomes));
      assert.ok((outcomes[unavailable] ?? 0) > 0, `no backup needs ${operation}: the rules struck nothing`);
    });
  }

  test('under a backup: a full disk, at any moment, leaves what is there readable', async () => {
    for (const operation of ['put', 'write'] as const) {
      for (const afterBytes of [0, 200, 5_000, 30_000, 60_000]) {
        const fault = { kind: 'no-space', afterBytes } as const;
        const codes = ['blob-no-space'];
        await backupUnder(scenario(operation, fault, { from: 1 }, { codes }));
        const target = join(folder.path, 'readable.img');
        await restoreFile(engine, known.id, target);
        assert.ok(await sameData(known.copy, target));
        await rm(target);
      }
    }
    await completes();
  });

  test('under a backup: silence, until the user gives up', async () => {
    for (const operation of writing) {
      for (const nth of all ? [1, 2, 3, 4, 5] : [1, 4]) {
        await beginAnew();
        await newVolume(source);
        const stop = new AbortController();
        const reason = new Error('given up');
        const hanging = faulty([{ operations: [operation], when: { from: nth }, fault: { kind: 'hang' } }]);
        const timer = setTimeout(() => stop.abort(reason), 400);
        const run = backupFile({ ...hanging, signal: stop.signal }, source, often);
        await run.then(
          () => undefined,
          (error: unknown) => assert.equal(error, reason, `${operation} ${nth}: ${String(error)}`),
        );
        clearTimeout(timer);
        assert.deepEqual(await problemsOf(engine), []);
        assert.deepEqual(await unfinished(), [], `${operation} ${nth}`);
        await rm(hanging.cache, { recursive: true, force: true });
      }
    }
    await completes();
  });

  for (const operation of ['get', 'list'] as const) {
    test(`under a restore: ${operation}`, async (t) => {
      const truncated = [1, 2, 3, 5].map((nth) =>
        scenario(operation, { kind: 'truncate', keep: 0.5 }, { nth }, { expected: 'either' }),
      );
      const outcomes: Record<string, number> = {};
      for (const one of [...scenariosOf(operation), ...(operation === 'get' ? truncated : [])]) {
        const outcome = (await restoreUnder(one)) ?? 'done';
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      }
      t.diagnostic(JSON.stringify(outcomes));
      assert.ok((outcomes[unavailable] ?? 0) > 0, `no restore needs ${operation}`);
    });
  }

  async function restoreUnder(one: Scenario): Promise<string | undefined> {
    const target = join(folder.path, 'target.img');
    const failure = await failureOf(restoreFile(faulty(one.rules), known.id, target, { parallel: 1 }), one);
    if (failure !== undefined) {
      await assert.rejects(stat(target), { code: 'ENOENT' }, one.name);
      await restoreFile(engine, known.id, target);
    }
    assert.ok(await sameData(known.copy, target), one.name);
    assert.deepEqual(
      (await readdir(folder.path)).filter((name) => name.startsWith('target.img.')),
      [],
    );
    await rm(target);
    return failure;
  }

  test('under a restore: silence, until the user gives up', async () => {
    for (const from of [1, 2, 4]) {
      const target = join(folder.path, 'silent.img');
      const stop = new AbortController();
      const reason = new Error('given up');
      const hanging = faulty([{ operations: ['get'], when: { from }, fault: { kind: 'hang' } }]);
      const timer = setTimeout(() => stop.abort(reason), 400);
      const run = restoreFile({ ...hanging, signal: stop.signal }, known.id, target);
      await assert.rejects(run, (error) => error === reason);
      clearTimeout(timer);
      await assert.rejects(readFile(target), { code: 'ENOENT' });
      await rm(hanging.cache, { recursive: true, force: true });
      await restoreFile(engine, known.id, target);
      assert.ok(await sameData(known.copy, target));
      await rm(target);
    }
  });
});
