import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import type { Extent } from '../../volume/extent.ts';
import { extentEnd } from '../../volume/extent.ts';
import type { ContentId } from '../content/content-id.ts';
import { encodeIndirect } from '../object/indirect.ts';
import type { IndirectEntry } from '../object/indirect.ts';
import { MemoryContents } from '../object/memory-contents.ts';
import { directObjectId, indirectObjectId } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import { FlatBuilder } from './flat-builder.ts';
import { TreeBuilder } from './tree-builder.ts';
import { diffTrees } from './tree-diff.ts';
import type { DiffSide } from './tree-diff.ts';
import type { LeafId, VolumeBuilder } from './volume-builder.ts';
import { leafBytes, leafCount, leavesOfNode, nodeBytes, nodeCount, nodeLeaves, pieceBytes } from './volume-layout.ts';

const { signal } = new AbortController();

async function diff(store: MemoryContents, before: DiffSide, after: DiffSide): Promise<Extent[]> {
  const found: Extent[] = [];
  for await (const range of diffTrees(store, { before, after }, { signal })) {
    const last = found.at(-1);
    assert.ok(range.lengthBytes > 0 && extentEnd(range) <= after.sizeBytes);
    assert.ok(last === undefined || extentEnd(last) < range.offset, 'extents are normal');
    found.push(range);
  }
  return found;
}

function leafOf(store: MemoryContents, seed: number | null): LeafId {
  return seed === null ? undefined : store.put('', Buffer.from(`leaf ${seed}`));
}

async function build(
  store: MemoryContents,
  { layout, sizeBytes, seeds }: { layout: 'tree-1' | 'flat-1'; sizeBytes: number; seeds: readonly (number | null)[] },
): Promise<DiffSide> {
  const Builder = layout === 'tree-1' ? TreeBuilder : FlatBuilder;
  const builder: VolumeBuilder = new Builder({ reader: store, writer: store }, { sizeBytes, signal });
  for (let node = 0; node < nodeCount(sizeBytes); node += 1) {
    const ids = Array.from({ length: leavesOfNode(node, sizeBytes) }, (_, leaf) =>
      leafOf(store, seeds[node * nodeLeaves + leaf] ?? null),
    );
    await builder.setNode(node, ids);
  }
  return { object: await builder.finish(), sizeBytes, layout };
}

/** One changed range per leaf that differs, merged. */
function expected(
  a: readonly (number | null)[],
  b: readonly (number | null)[],
  sizes: readonly [number, number],
): Extent[] {
  const [before, after] = sizes;
  const result: { offset: number; lengthBytes: number }[] = [];
  const limit = Math.floor(Math.min(before, after) / leafBytes);
  for (let leaf = 0; leaf < leafCount(after); leaf += 1) {
    const same = before === after || leaf < limit ? (a[leaf] ?? null) === (b[leaf] ?? null) : false;
    if (same) continue;
    const offset = leaf * leafBytes;
    const end = Math.min(offset + leafBytes, after);
    const last = result.at(-1);
    if (last !== undefined && last.offset + last.lengthBytes === offset) last.lengthBytes = end - last.offset;
    else result.push({ offset, lengthBytes: end - offset });
  }
  return result as Extent[];
}

const sizes = fc.oneof(fc.nat(200 * leafBytes), fc.constantFrom(0, 1, nodeBytes, 2 * nodeBytes, 2 * nodeBytes + 1));
const seeds = fc.array(fc.option(fc.nat(2)), { maxLength: 200 });
const edits = fc.array(fc.record({ leaf: fc.nat(200), seed: fc.option(fc.nat(3)) }), { maxLength: 10 });

describe('tree diff', () => {
  test('finds exactly the leaves that differ, in any two layouts of ours', async () => {
    const layouts = fc.constantFrom<'tree-1' | 'flat-1'>('tree-1', 'flat-1');
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.option(sizes),
        seeds,
        edits,
        layouts,
        layouts,
        async (size, other, a, changes, from, to) => {
          const store = new MemoryContents();
          const b = Array.from({ length: 201 }, (_, leaf) => a[leaf] ?? null);
          for (const { leaf, seed } of changes) b[leaf] = seed;
          const before = await build(store, { layout: from, sizeBytes: size, seeds: a });
          const after = await build(store, { layout: to, sizeBytes: other ?? size, seeds: b });
          const found = await diff(store, before, after);
          const wanted = expected(a, b, [size, other ?? size]);
          if (from === to || size % leafBytes === 0 || (other ?? size) !== size) {
            assert.deepEqual(found, wanted);
            return;
          }
          // Between layouts a short tail is another content than a padded one, so it may count as changed.
          const tail = Math.floor(size / leafBytes) * leafBytes;
          const above = (list: readonly Extent[]): number[] =>
            list
              .flatMap(({ offset, lengthBytes }) =>
                Array.from({ length: Math.ceil(lengthBytes / leafBytes) }, (_, n) => offset + n * leafBytes),
              )
              .filter((at) => at < tail);
          assert.deepEqual(above(found), above(wanted));
        },
      ),
      { numRuns: 100 },
    );
  });

  test('never misses a byte between objects that were split in different ways', async () => {
    const piece = fc.record({ byte: fc.nat(1), length: fc.integer({ min: 1, max: 6 }) });
    const shape = fc.record({
      cuts: fc.array(fc.nat(60), { maxLength: 8 }),
      nested: fc.array(fc.nat(60), { maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { minLength: 1, maxLength: 12 }),
        fc.array(fc.nat(60), { maxLength: 3 }),
        shape,
        shape,
        async (pieces, flips, one, two) => {
          const store = new MemoryContents();
          const bytes = Buffer.concat(pieces.map(({ byte, length }) => Buffer.alloc(length, byte)));
          const other = Buffer.from(bytes);
          for (const at of flips) other[at % other.length]! ^= 1;
          const sizeBytes = bytes.length;
          const before = { object: split(store, bytes, one), sizeBytes };
          const after = { object: split(store, other, two), sizeBytes };
          const found = await diff(store, before, after);
          for (let at = 0; at < sizeBytes; at += 1) {
            const covered = found.some((range) => at >= range.offset && at < extentEnd(range));
            assert.ok(covered || bytes[at] === other[at], `byte ${at}`);
          }
          const same = await diff(store, before, { object: split(store, bytes, one), sizeBytes });
          assert.deepEqual(same, []);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('reads nothing of equal objects and only the way down to a difference', async () => {
    const store = new MemoryContents();
    const sizeBytes = 3 * pieceBytes;
    const object = await new TreeBuilder({ reader: store, writer: store }, { sizeBytes, signal }).finish();
    const base = { object, sizeBytes };
    const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal });
    await builder.patchNode(3_000, new Map([[9, leafOf(store, 1)]]));
    const changed = await builder.finish();
    store.reads.length = 0;
    const side = (id: ObjectId): DiffSide => ({ object: id, sizeBytes, layout: 'tree-1' });
    assert.deepEqual(await diff(store, side(object), side(object)), []);
    assert.equal(store.reads.length, 0);
    const found = await diff(store, side(object), side(changed));
    assert.deepEqual(found, [{ offset: 3_000 * nodeBytes + 9 * leafBytes, lengthBytes: leafBytes }]);
    // Two roots, two pieces, two nodes.
    assert.equal(store.reads.length, 6);
  });
});

/** Cuts bytes at some places into contents, and at some of these into nested lists. */
function split(store: MemoryContents, bytes: Buffer, { cuts, nested }: { cuts: number[]; nested: number[] }): ObjectId {
  const leafCuts = cutsOf(bytes.length, [...cuts, ...nested]);
  const entries: IndirectEntry[] = [];
  const nodeCuts = cutsOf(bytes.length, nested);
  const content = (start: number, end: number): ContentId => store.put('', bytes.subarray(start, end));
  for (const [index, start] of nodeCuts.entries()) {
    const end = nodeCuts[index + 1] ?? bytes.length;
    const inside = leafCuts.filter((cut) => cut >= start && cut < end);
    const members = inside.map((from, n) => {
      const to = inside[n + 1] ?? end;
      return { offset: from - start, lengthBytes: to - from, objectId: directObjectId(content(from, to)) };
    });
    const alone = members.length === 1 && index % 2 === 0;
    const objectId = alone
      ? members[0]!.objectId
      : indirectObjectId(directObjectId(store.put('x', encodeIndirect(members))));
    entries.push({ offset: start, lengthBytes: end - start, objectId });
  }
  return indirectObjectId(directObjectId(store.put('x', encodeIndirect(entries))));
}

function cutsOf(length: number, cuts: readonly number[]): number[] {
  return [...new Set([0, ...cuts.map((cut) => cut % length)])].toSorted((a, b) => a - b);
}
