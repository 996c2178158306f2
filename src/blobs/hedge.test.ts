import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { abortReason } from '../std/abort.ts';
import { type Clock, systemClock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import { blobStoreContract } from './blob-store.contract.ts';
import { BlobError, type BlobGet, blobId, type BlobId } from './blob-store.ts';
import { createCounts, readCounts } from './count.ts';
import { HedgeStore } from './hedge.ts';
import { MemoryStore } from './memory-store.ts';
import { StoreLayer } from './store-layer.ts';

const { signal } = new AbortController();
const id = blobId('p1');
const content = Buffer.from(Array.from({ length: 4096 }, (_, index) => index % 251));
const range = { offset: 96, lengthBytes: 1000 };
const expected = content.subarray(96, 1096);

blobStoreContract('a store of which reads are asked for again', async () => {
  const clock = { ...systemClock, sleep: () => Promise.resolve() };
  const store = new HedgeStore(
    { store: new MemoryStore({ clock: systemClock }), clock },
    { share: 1, patienceMsMin: 0 },
  );
  return { store, leftovers: async () => [], [Symbol.asyncDispose]: async () => await store[Symbol.asyncDispose]() };
});

/** Time stands still until it is told to pass. */
class ManualClock implements Clock {
  #ms = 0;
  #sleepers: { readonly untilMs: number; readonly wake: () => void }[] = [];
  nowMs = (): number => this.#ms;
  monotonicMs = (): number => this.#ms;

  async sleep(ms: number, options: { readonly signal: AbortSignal }): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#sleepers.push({ untilMs: this.#ms + ms, wake: resolve });
    options.signal.addEventListener('abort', () => reject(abortReason(options.signal)), { once: true });
    await promise;
  }

  pass(ms: number): void {
    this.#ms += ms;
    for (const { untilMs, wake } of this.#sleepers) if (untilMs <= this.#ms) wake();
  }
}

interface Reading {
  readonly options: BlobGet;
  readonly answer: () => void;
  readonly fail: (code: BlobError['code']) => void;
}

/**
 * Reads are answered when the test says so. Each writes garbage into its buffer as long as it lives, and, as a store may, for
 * some turns after it was aborted.
 */
class HeldStore extends StoreLayer {
  readonly readings: Reading[] = [];
  held = false;

  override async get(name: BlobId, options: BlobGet): Promise<Uint8Array> {
    const bytes = await this.store.get(name, { ...options, into: undefined });
    if (!this.held) return bytes;
    const { into } = options;
    into?.fill(0xee);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.readings.push({ options, answer: resolve, fail: (code) => reject(new BlobError(code, 'as told')) });
    const abort = (): void => reject(abortReason(options.signal));
    options.signal.addEventListener('abort', abort, { once: true });
    if (options.signal.aborted) abort();
    try {
      await promise;
    } catch (error) {
      for (let turn = 0; turn < 5; turn++) {
        await Promise.resolve();
        into?.fill(0xdd);
      }
      throw error;
    }
    into?.set(bytes);
    return into?.subarray(0, bytes.length) ?? bytes;
  }
}

interface Hedged {
  readonly clock: ManualClock;
  readonly held: HeldStore;
  readonly store: HedgeStore;
  readonly hedgedGets: () => number;
}

/** What is usual are reads of 100 ms; then reads are held. */
async function hedged(share = 0.03): Promise<Hedged> {
  const clock = new ManualClock();
  const held = new HeldStore(new MemoryStore({ clock }));
  await held.put(id, content, { signal });
  const counts = createCounts();
  const store = new HedgeStore({ store: held, clock, counts }, { share, patienceMsMin: 20 });
  held.held = true;
  for (let nth = 0; nth < 32; nth++) {
    const reading = store.get(id, { range, signal });
    await turns();
    clock.pass(100);
    held.readings.pop()?.answer();
    await reading;
  }
  return { clock, held, store, hedgedGets: () => Number(readCounts(counts).hedgedGets) };
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}

describe('the hedging layer', () => {
  test('asks again after one and a half of what is usual, and the first answer counts', async () => {
    const { clock, held, store, hedgedGets } = await hedged();
    const reading = store.get(id, { range, signal });
    await turns();
    clock.pass(149);
    await turns();
    assert.equal(held.readings.length, 1);
    clock.pass(1);
    await turns();
    assert.equal(held.readings.length, 2);
    held.readings[1]!.answer();
    assert.deepEqual(Buffer.from(await reading), expected);
    assert.ok(held.readings[0]!.options.signal.aborted);
    assert.equal(hedgedGets(), 1);
  });

  test('leaves the second read when the first answers after all', async () => {
    const { clock, held, store } = await hedged();
    const into = Buffer.alloc(1200);
    const reading = store.get(id, { range, into, signal });
    await turns();
    clock.pass(150);
    await turns();
    held.readings[0]!.answer();
    const bytes = await reading;
    assert.deepEqual(Buffer.from(bytes), expected);
    assert.equal(bytes.buffer, into.buffer);
    assert.ok(held.readings[1]!.options.signal.aborted);
  });

  test('never lets a read that lost write into the buffer that it hands back', async () => {
    const { clock, held, store } = await hedged();
    const into = Buffer.alloc(1200);
    const reading = store.get(id, { range, into, signal });
    await turns();
    clock.pass(150);
    await turns();
    assert.equal(held.readings[0]!.options.into, into);
    assert.equal(held.readings[1]!.options.into, undefined);
    held.readings[1]!.answer();
    const bytes = await reading;
    assert.equal(bytes.buffer, into.buffer);
    assert.deepEqual(Buffer.from(bytes), expected);
    await turns();
    assert.deepEqual(Buffer.from(bytes), expected);
  });

  test('fails only when both have failed, with what the first said', async () => {
    const { clock, held, store } = await hedged();
    for (const saved of [true, false]) {
      held.readings.length = 0;
      const reading = store.get(id, { range, signal });
      await turns();
      clock.pass(150);
      await turns();
      held.readings[0]!.fail('blob-unavailable');
      if (saved) held.readings[1]!.answer();
      else held.readings[1]!.fail('blob-denied');
      if (saved) await reading;
      else await assert.rejects(reading, (error) => hasCode(error, 'blob-unavailable'));
      // The one second read was used up.
      for (let nth = 0; saved && nth < 34; nth++) await quick({ clock, held, store });
    }
  });

  test('asks again for no more than its share', async () => {
    const { clock, held, store, hedgedGets } = await hedged(0.03);
    for (let nth = 0; nth < 500; nth++) {
      held.readings.length = 0;
      const reading = store.get(id, { range, signal });
      await turns();
      // Four of a hundred are slow: more would be usual.
      if (nth % 25 === 0) clock.pass(100_000);
      await turns();
      held.readings.at(-1)!.answer();
      await reading;
    }
    assert.ok(hedgedGets() >= 10 && hedgedGets() <= 19, String(hedgedGets()));
  });

  test('an abort ends both, with its reason', async () => {
    const { clock, held, store } = await hedged();
    const aborting = new AbortController();
    const reading = store.get(id, { range, signal: aborting.signal });
    const rejected = assert.rejects(reading, /enough/);
    await turns();
    clock.pass(150);
    await turns();
    aborting.abort(new Error('enough'));
    await rejected;
    assert.ok(held.readings.every(({ options }) => options.signal.aborted));
  });

  test('knows nothing of what is usual for another size, nor asks again for whole blobs', async () => {
    const { clock, held, store, hedgedGets } = await hedged();
    const readings = [store.get(id, { signal }), store.get(id, { range: { offset: 0, lengthBytes: 4000 }, signal })];
    await turns();
    clock.pass(1_000_000);
    await turns();
    for (const { answer } of held.readings) answer();
    await Promise.all(readings);
    assert.equal(hedgedGets(), 0);
  });

  test('whatever answers, fails or is aborted when, a read ends in the right bytes or an error, and its buffer is left alone', async () => {
    const step = fc.record({
      passMs: fc.nat(200),
      of: fc.nat(3),
      what: fc.constantFrom('answer', 'fail', 'abort', 'nothing'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
        const { clock, held, store } = await hedged();
        const aborting = new AbortController();
        const into = Buffer.alloc(1000);
        const reading = store.get(id, { range, into, signal: aborting.signal });
        let snapshot: Buffer | undefined;
        const ended = reading.then(
          (bytes) => {
            assert.deepEqual(Buffer.from(bytes), expected);
            snapshot = Buffer.from(into);
          },
          () => void (snapshot = Buffer.from(into)),
        );
        for (const { passMs, of, what } of steps) {
          await turns();
          clock.pass(passMs);
          await turns();
          const one = held.readings[of];
          if (what === 'answer') one?.answer();
          if (what === 'fail') one?.fail('blob-unavailable');
          if (what === 'abort') aborting.abort(new Error('enough'));
        }
        aborting.abort(new Error('enough'));
        await ended;
        await turns();
        assert.deepEqual(into, snapshot);
      }),
      { numRuns: 100 },
    );
  });
});

async function quick({ clock, held, store }: Pick<Hedged, 'clock' | 'held' | 'store'>): Promise<void> {
  held.readings.length = 0;
  const reading = store.get(id, { range, signal });
  await turns();
  clock.pass(100);
  held.readings[0]!.answer();
  await reading;
}
