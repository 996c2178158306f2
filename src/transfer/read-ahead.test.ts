import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { seededRng } from '../std/rng.ts';
import type { BlockSource } from '../volume/block-source.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import { ReadAhead } from './read-ahead.ts';

const mib = 1024 * 1024;
const signal = new AbortController().signal;

/** Every byte tells the MiB that it belongs to. */
function byteAt(offset: number): number {
  return (Math.floor(offset / mib) * 37 + 1) & 0xff;
}

interface Model {
  readonly source: BlockSource;
  /** Reads begun and not ended: the most at once, and where they write. */
  readonly underWay: Set<Uint8Array>;
  mostUnderWay: number;
}

/** A source of which some chunks are in the page cache, and whose reads end in any order. */
function modelOf(isCached: (offset: number) => boolean, seed: number): Model {
  const rng = seededRng(seed);
  const underWay = new Set<Uint8Array>();
  const model = { underWay, mostUnderWay: 0 };
  const fill = (range: Extent, into: Uint8Array): void => {
    for (let at = 0; at < range.lengthBytes; at += mib) {
      into.fill(byteAt(range.offset + at), at, Math.min(at + mib, range.lengthBytes));
    }
  };
  const source: BlockSource = {
    location: { path: 'model', kind: 'file', sizeBytes: 2 ** 40, pastCache: true },
    sizeBytes: 2 ** 40,
    async read(range, into) {
      assert.ok(!underWay.has(into), 'a slot was given to two reads');
      underWay.add(into);
      model.mostUnderWay = Math.max(model.mostUnderWay, underWay.size);
      for (let turns = Math.floor(rng.uniform() * 4); turns >= 0; turns--) await Promise.resolve();
      fill(range, into);
      underWay.delete(into);
    },
    readCached(range, into) {
      assert.ok(!underWay.has(into), 'a slot was given to two reads');
      if (!isCached(range.offset)) {
        into.fill(0xee, 0, range.lengthBytes);
        return false;
      }
      fill(range, into);
      return true;
    },
    async *dataExtents() {},
    identity: () => Promise.reject(new Error('not asked')),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return Object.assign(model, { source });
}

const extents = fc
  .array(fc.tuple(fc.nat({ max: 5 }), fc.integer({ min: 1, max: 14 }), fc.boolean()), { maxLength: 6 })
  .map((parts) => {
    let at = 0;
    return parts.map(([gap, leaves, short]) => {
      const offset = at + gap * mib;
      at = offset + leaves * mib;
      return extent(offset, leaves * mib - (short ? 777 : 0));
    });
  });

test('read-ahead > hands out every extent, in order, each byte once, whatever is cached and however reads end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(extents, { maxLength: 3 }),
      fc.integer(),
      fc.double({ min: 0, max: 1, noNaN: true }),
      run,
    ),
    { numRuns: 60 },
  );

  async function run(tasks: readonly (readonly Extent[])[], seed: number, cachedShare: number): Promise<void> {
    const rng = seededRng(seed);
    const isCached = Array.from({ length: 500 }, () => rng.uniform() < cachedShare);
    const model = modelOf((offset) => isCached[offset / mib]!, seed);
    const reads = new ReadAhead(model.source, { slots: 4, signal });
    for (const task of tasks) reads.expect(task);
    for (const wanted of tasks.flat()) {
      for (let at: number = wanted.offset; at < extentEnd(wanted);) {
        const { range, slot } = await reads.next();
        assert.equal(range.offset, at);
        assert.ok(extentEnd(range) <= extentEnd(wanted));
        await Promise.resolve();
        assert.ok(!model.underWay.has(slot), 'a piece that is being worked on is read into');
        for (let byte = 0; byte < range.lengthBytes; byte += 99_991) assert.equal(slot[byte], byteAt(at + byte));
        assert.equal(slot[range.lengthBytes - 1], byteAt(at + range.lengthBytes - 1));
        at += range.lengthBytes;
      }
    }
    assert.equal(model.underWay.size, 0, 'nothing is read that nobody wants');
  }
});

test('read-ahead > reads ahead what must be waited for, and not what is cached', async () => {
  const cold = modelOf(() => false, 1);
  const cached = modelOf(() => true, 1);
  for (const { source } of [cold, cached]) {
    const reads = new ReadAhead(source, { slots: 4, signal });
    reads.expect([extent(0, 64 * mib)]);
    for (let left = 64 * mib; left > 0;) left -= (await reads.next()).range.lengthBytes;
  }
  assert.ok(cold.mostUnderWay >= 3, `${cold.mostUnderWay} reads at once`);
  assert.equal(cached.mostUnderWay, 0);
});

test('read-ahead > a failed read is thrown when its piece is due, and an abort at once', async () => {
  const { source } = modelOf(() => false, 2);
  const stop = new AbortController();
  const failing: BlockSource = {
    ...source,
    read: async (range, into, options) => {
      if (range.offset === 8 * mib) throw new Error('the medium');
      await source.read(range, into, options);
    },
  };
  const reads = new ReadAhead(failing, { slots: 4, signal: stop.signal });
  reads.expect([extent(0, 16 * mib)]);
  assert.equal((await reads.next()).range.offset, 0);
  assert.equal((await reads.next()).range.offset, 4 * mib);
  await assert.rejects(reads.next(), /the medium/);
  stop.abort(new Error('given up'));
  await assert.rejects(reads.next(), /given up/);
});
