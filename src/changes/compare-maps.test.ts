import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { extentFlags, type MappedExtent } from '../kernel/extent-map.ts';
import { blockBytes, compareMaps, type MapDifference } from './compare-maps.ts';

/** What a file system says of one block: nothing, or an address (in blocks) and flags. */
interface Block {
  readonly address: number;
  readonly flags: number;
}

const harmlessFlags = [extentFlags.last, extentFlags.merged, extentFlags.shared];
const unknownFlags = [0x2, 0x4, 0x8, 0x80, 0x100, 0x200, 0x400, 0x4000, 0x40000000];

const flags = fc.oneof(
  { weight: 6, arbitrary: fc.constant(0) },
  { weight: 2, arbitrary: fc.subarray(harmlessFlags).map((list) => list.reduce((sum, flag) => sum + flag, 0)) },
  { weight: 2, arbitrary: fc.constantFrom(extentFlags.unwritten, extentFlags.unwritten + extentFlags.shared) },
  { weight: 1, arbitrary: fc.constantFrom(...unknownFlags, extentFlags.unwritten + extentFlags.delalloc) },
);
/** Runs of blocks, so that extents are long; few addresses, so that maps agree often. */
const run = fc.record({
  blocks: fc.integer({ min: 1, max: 6 }),
  found: fc.option(fc.record({ address: fc.integer({ min: 0, max: 6 }), flags }), { nil: undefined }),
});
const file = fc
  .array(run, { maxLength: 8 })
  .map((runs) =>
    runs.flatMap(({ blocks, found }) =>
      Array.from({ length: blocks }, (_, index) => found && { ...found, address: found.address + index }),
    ),
  );

/** The blocks as extents; equal neighbours are one extent where `joined` says so. */
function mapOf(blocks: readonly (Block | undefined)[], joined: boolean): MappedExtent[] {
  const extents: MappedExtent[] = [];
  for (const [index, block] of blocks.entries()) {
    if (block === undefined) continue;
    const [logical, physical] = [index * blockBytes, block.address * blockBytes];
    const last = extents.at(-1);
    // What begins at address 0 is unknown as a whole, so it stays a block of its own.
    const isFollowed = joined && last !== undefined && last.physical > 0 && last.flags === block.flags;
    const length = isFollowed ? last.lengthBytes : 0;
    if (isFollowed && last.logical + length === logical && last.physical + length === physical) {
      extents[extents.length - 1] = { ...last, lengthBytes: length + blockBytes };
    } else {
      extents.push({ logical, physical, lengthBytes: blockBytes, flags: block.flags });
    }
  }
  return extents;
}

/** The rule, block by block: zeros, an address, or nothing that can be compared. */
function stateOf(block: Block | undefined): string {
  const telling = block === undefined ? 0 : block.flags & ~(0x1 | 0x1000 | 0x2000);
  if (block === undefined || telling === extentFlags.unwritten) return 'zeros';
  return telling === 0 && block.address > 0 ? `at ${block.address}` : 'unknown';
}

function isChanged(states: readonly string[]): boolean {
  return states.includes('unknown') || new Set(states).size > 1;
}

function blocksOf({ changed }: MapDifference): Set<number> {
  const blocks = new Set<number>();
  for (let index = 0; index < changed.length; index += 2) {
    for (let at = changed[index]!; at < changed[index + 1]!; at += blockBytes) blocks.add(at / blockBytes);
  }
  return blocks;
}

test('comparing maps > names exactly the blocks that differ, as a model does block by block', () => {
  const world = fc.record({
    base: file,
    target: file,
    // Mostly the map read before: the base seldom moves.
    again: fc.option(file, { nil: undefined, freq: 4 }),
    joined: fc.boolean(),
    start: fc.integer({ min: 0, max: 10 }),
    length: fc.integer({ min: 1, max: 40 }),
  });
  let moves = 0;
  fc.assert(
    fc.property(world, ({ base, target, again = base, joined, start, length }) => {
      const end = start + length;
      const maps = {
        base: mapOf(base, joined),
        target: mapOf(target, true),
        // A map may come cut in other places the second time.
        baseAgain: mapOf(again, !joined),
      };
      const result = compareMaps(maps, { start: start * blockBytes, end: end * blockBytes });
      const expected = new Set<number>();
      let moved = false;
      for (let block = start; block < end; block++) {
        const [before, after] = [stateOf(base[block]), stateOf(again[block])];
        if (isChanged([before, stateOf(target[block]), after])) expected.add(block);
        if (before !== after) moved = true;
      }
      assert.deepEqual(blocksOf(result), expected);
      assert.equal(result.moved, moved);
      if (moved) moves++;
      for (let index = 1; index < result.changed.length; index++) {
        assert.ok(result.changed[index]! > result.changed[index - 1]!, 'sorted, and no two ranges touch');
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(moves > 50, `${moves} worlds in which the base moved`);
});

test('comparing maps > an address that lies between blocks is none', () => {
  const aligned = { logical: 0, physical: 8 * blockBytes, lengthBytes: 2 * blockBytes, flags: 0 };
  const window = { start: 0, end: 2 * blockBytes };
  const compareWithItself = (map: MappedExtent): readonly number[] =>
    compareMaps({ base: [map], target: [map], baseAgain: [map] }, window).changed;
  assert.deepEqual(compareWithItself(aligned), []);
  assert.deepEqual(compareWithItself({ ...aligned, physical: 8 * blockBytes + 512 }), [0, 2 * blockBytes]);
  assert.deepEqual(compareWithItself({ ...aligned, lengthBytes: blockBytes + 512 }), [0, blockBytes + 512]);
  assert.deepEqual(compareWithItself({ ...aligned, logical: 512, lengthBytes: blockBytes }), [512, blockBytes + 512]);
});
