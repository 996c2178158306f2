import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { MappedExtent } from '../kernel/extent-map.ts';
import { extentEnd } from '../volume/extent.ts';
import { blockBytes } from './compare-maps.ts';
import { comparePages, type PagedMap } from './extents.ts';

const { signal } = new AbortController();

/** Addresses of blocks, in blocks; 0 is a hole. Every extent is one block: pages are cut anywhere. */
type Places = readonly number[];

/** Answers a page of at most `pageExtents`; every read sees what `places` answers then. */
function paged(places: () => Places, sizeBytes: number, pageExtents: number): PagedMap {
  return {
    sizeBytes,
    read: async ({ offset, lengthBytes }) => {
      const end = offset + lengthBytes;
      const extents: MappedExtent[] = [];
      for (const [block, place] of places().entries()) {
        const logical = block * blockBytes;
        if (place === 0 || logical < offset || logical >= end) continue;
        if (extents.length === pageExtents) return { extents, coveredTo: logical };
        extents.push({ logical, physical: place * blockBytes, lengthBytes: blockBytes, flags: 0 });
      }
      return await Promise.resolve({ extents, coveredTo: end });
    },
  };
}

const file = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 24 });
/** How much shorter than its blocks a file is, in bytes. */
const shorter = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: blockBytes - 1 }));
const world = fc.record({
  base: file,
  target: file,
  short: fc.tuple(shorter, shorter),
  sameLength: fc.boolean(),
  pages: fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 8 })),
});

test('extents > whatever pages the maps come in, all that differs is named, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(world, async ({ base, target: longer, short, sameLength, pages }) => {
      const target = sameLength ? base.map((_, block) => longer[block] ?? 0) : longer;
      const baseBytes = Math.max(0, base.length * blockBytes - short[0]);
      const targetBytes = sameLength ? baseBytes : Math.max(0, target.length * blockBytes - short[1]);
      const result = await comparePages(
        paged(() => base, baseBytes, pages[0]),
        paged(() => target, targetBytes, pages[1]),
        { signal },
      );
      const named = new Set<number>();
      let end = -1;
      for (const range of result.extents) {
        assert.ok(range.offset > end && range.lengthBytes > 0, 'normal');
        end = extentEnd(range);
        assert.ok(range.offset % blockBytes === 0 && (end % blockBytes === 0 || end === targetBytes));
        for (let at: number = range.offset; at < end; at += blockBytes) named.add(at / blockBytes);
      }
      assert.ok(end <= targetBytes);
      const expected = new Set<number>();
      const common = Math.min(baseBytes, targetBytes);
      for (let block = 0; block * blockBytes < targetBytes; block++) {
        // Where one of them ends within a block, its rest says nothing of the other.
        const isCut = baseBytes !== targetBytes && block === Math.floor(common / blockBytes) && common % blockBytes > 0;
        const before = block * blockBytes < baseBytes ? base[block] : 0;
        if (isCut || before !== (target[block] ?? 0)) expected.add(block);
      }
      assert.deepEqual(named, expected);
      assert.equal(result.moved, false);
    }),
    { numRuns: 1000 },
  );
});

/** The base's blocks are elsewhere at each read of its map, as often as `moves` says. */
function moving(moves: number): PagedMap {
  let reads = 0;
  return paged(
    () => {
      reads += 1;
      return reads <= moves ? [9, 20 + reads, 9] : [9, 2, 9];
    },
    3 * blockBytes,
    8,
  );
}

test('extents > a base that moves is read again, and what keeps moving counts as changed', async () => {
  const target = paged(() => [9, 2, 9], 3 * blockBytes, 8);
  // Before and after the target's map: two reads in each of three tries.
  for (const moves of [0, 1, 2, 3, 4]) {
    const { extents, moved } = await comparePages(moving(moves), target, { signal });
    assert.deepEqual([extents, moved], [[], false], `${moves} moves`);
  }
  for (const moves of [5, 6, 7]) {
    const { extents, moved } = await comparePages(moving(moves), target, { signal });
    assert.deepEqual(extents, [{ offset: blockBytes, lengthBytes: blockBytes }], `${moves} moves`);
    assert.ok(moved);
  }
});

test('extents > blocks that swap places between the reads of the two maps are not taken for equal', async () => {
  let reads = 0;
  const base = paged(() => ((reads += 1) === 1 ? [5, 6] : [6, 5]), 2 * blockBytes, 8);
  // Read in between, it has been given what the base had before.
  const target = paged(() => [5, 6], 2 * blockBytes, 8);
  const { extents } = await comparePages(base, target, { signal });
  assert.deepEqual(extents, [{ offset: 0, lengthBytes: 2 * blockBytes }]);
});

test('extents > a map that tells of no whole block is refused, and an abort ends the comparison', async () => {
  const stuck: PagedMap = {
    sizeBytes: blockBytes,
    read: async ({ offset }) => await Promise.resolve({ extents: [], coveredTo: offset + 100 }),
  };
  await assert.rejects(comparePages(stuck, stuck, { signal }), { code: 'changes-incomparable' });
  const whole = paged(() => [1], blockBytes, 1);
  await assert.rejects(comparePages(whole, whole, { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
});
