import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { FaultStore, type FaultRule } from '../blobs/fault.ts';
import { MemoryStore } from '../blobs/memory-store.ts';
import { hasCode } from '../std/dray-error.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import { systemRng as rng } from '../std/rng.ts';
import { decodeSessionMarker } from './content/session.ts';
import { createFormat, type OpenedFormat } from './format/format-store.ts';
import { Repository } from './repository.ts';

const signal = new AbortController().signal;
const hourMs = 60 * 60 * 1000;
let shiftMs = 0;
const clock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + shiftMs };
const identity = { userName: 'tester', host: 'here' };

/** A new repository in memory, opened through a layer that fails by these rules. */
async function withRepository(
  rules: readonly FaultRule[],
  work: (repository: Repository, inside: MemoryStore, again: () => Promise<Repository>) => Promise<void>,
): Promise<void> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'writer-'));
  const inside = new MemoryStore({ clock });
  const opened: OpenedFormat = await createFormat(inside, { password: 'password', rng, signal });
  let caches = 0;
  const open = async (store: MemoryStore | FaultStore): Promise<Repository> => {
    const cacheDirectory = `${folder.path}/cache-${caches++}`;
    return await Repository.openWith({ store, clock, rng }, opened, { cacheDirectory, signal });
  };
  const faulty = new FaultStore({ store: inside, clock }, { rules, seed: 1 });
  await using repository = await open(faulty);
  await work(repository, inside, async () => await open(inside));
}

async function names(store: MemoryStore, prefix: string): Promise<string[]> {
  return (await Array.fromAsync(store.list(prefix, { signal }))).map(({ id }) => id);
}

test('repository writer > a flush whose index could not be stored keeps what it was to name for the next', async () => {
  const rules = [{ operations: ['put'], prefix: 'xn', when: { nth: 1 }, fault: { kind: 'fail', code: 'blob-denied' } }];
  await withRepository(rules as FaultRule[], async (repository, _inside, again) => {
    await using writer = await repository.writer(identity, { signal });
    const id = await writer.write('k', randomBytes(100));
    await assert.rejects(writer.flush(), (error) => hasCode(error, 'blob-denied'));
    await writer.finish();
    await using other = await again();
    assert.ok(other.index.find(id) !== undefined, 'stored, and named by no index');
  });
});

test('repository writer > one session lasts over all flushes, its marker never old, and gone at the end', async () => {
  await withRepository([], async (repository, inside) => {
    const startMs = clock.nowMs();
    await using writer = await repository.writer(identity, { signal });
    for (let hours = 0; hours < 40; hours += 8) {
      shiftMs = hours * hourMs;
      await writer.write('k', randomBytes(100));
      await writer.flush();
      const [marker, ...others] = await names(inside, 's');
      assert.deepEqual(others, []);
      const { sessionId, startTimeMs, checkpointTimeMs } = decodeSessionMarker(
        repository.codec,
        marker as never,
        await inside.get(marker as never, { signal }),
      );
      assert.equal(sessionId, writer.sessionId);
      assert.ok(startTimeMs - startMs < hourMs);
      assert.ok(clock.nowMs() - checkpointTimeMs < 12 * hourMs);
    }
    await writer.finish();
    assert.deepEqual(await names(inside, 's'), []);
    shiftMs = 0;
  });
});

test('repository writer > a pack that was collected while the process was stopped is named by no index', async () => {
  await withRepository([], async (repository, inside, again) => {
    await using writer = await repository.writer(identity, { signal });
    const id = await writer.write('k', randomBytes(100));
    // The flush is stopped for a day when its packs are stored.
    const collected = async (): Promise<void> => {
      writer.addEntries([{ contentId: 'k00', packBlob: 'q00' } as never]);
      shiftMs = 13 * hourMs;
    };
    await assert.rejects(writer.flush({ sealOthers: collected }), (error) => hasCode(error, 'index-conflict'));
    shiftMs = 0;
    assert.deepEqual(await names(inside, 'xn'), []);
    await using other = await again();
    assert.equal(other.index.find(id), undefined);
  });
});

test('repository writer > what is discarded gives its room back, but never what an index may name', async () => {
  const rules = [{ operations: ['put'], prefix: 'xn', when: { nth: 1 }, fault: { kind: 'fail', code: 'blob-denied' } }];
  await withRepository(rules as FaultRule[], async (repository, inside) => {
    await using writer = await repository.writer(identity, { signal });
    const entry = { contentId: 'k00', packBlob: 'p00' } as const;
    await inside.put(entry.packBlob as never, randomBytes(10), { signal });
    writer.addEntries([entry as never]);
    await writer.discard({ signal });
    assert.deepEqual(await names(inside, 'p'), []);
    await writer.write('k', randomBytes(100));
    await assert.rejects(writer.flush(), (error) => hasCode(error, 'blob-denied'));
    const packs = await names(inside, 'q');
    await writer.discard({ signal });
    assert.deepEqual(await names(inside, 'q'), packs);
    assert.equal(packs.length, 1);
  });
});

test('repository writer > to discard leaves the packs of contents that the run has marked as deleted', async () => {
  await withRepository([], async (repository, inside) => {
    {
      await using writer = await repository.writer(identity, { signal });
      await writer.write('k', randomBytes(100));
      await writer.finish();
    }
    const packs = await names(inside, 'q');
    await using writer = await repository.writer(identity, { signal });
    for (const { contentId } of repository.index.entries()) writer.delete(contentId);
    await assert.rejects(writer.flush({ sealOthers: () => Promise.reject(new Error('the store is full')) }), /full/);
    await writer.discard({ signal });
    assert.deepEqual(await names(inside, 'q'), packs);
    assert.equal(packs.length, 1);
  });
});
