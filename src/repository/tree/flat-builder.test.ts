import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import type { ContentId } from '../content/content-id.ts';
import { contentIdOf } from '../content/content-id.ts';
import { encodeIndirect } from '../object/indirect.ts';
import { MemoryContents } from '../object/memory-contents.ts';
import { directObjectId, indirectObjectId } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import { leaves } from '../object/object-reader.ts';
import { adoptTree } from './adopt-tree.ts';
import { FlatBuilder } from './flat-builder.ts';
import { TreeBuilder } from './tree-builder.ts';
import type { LeafId } from './volume-builder.ts';
import { flatCutBytes, leafBytes, leafCount, leavesOfNode, nodeBytes, nodeCount, nodeLeaves } from './volume-layout.ts';

const { signal } = new AbortController();
const zero = new MemoryContents().put('', new Uint8Array(leafBytes));

function leafOf(seed: number): ContentId {
  return contentIdOf('', Buffer.alloc(32, seed));
}

/** What an object says of its leaves. */
async function idsOf(store: MemoryContents, object: ObjectId): Promise<ContentId[]> {
  const ids: ContentId[] = [];
  for await (const batch of leaves(store, object, { signal })) {
    for (const run of batch) {
      assert.equal(run.offset, ids.length * leafBytes);
      for (let n = 0; n < run.repeat; n += 1) ids.push(run.contentId);
    }
  }
  return ids;
}

async function setAll(
  builder: FlatBuilder | TreeBuilder,
  sizeBytes: number,
  ids: readonly LeafId[],
): Promise<ObjectId> {
  for (let node = 0; node < nodeCount(sizeBytes); node += 1) {
    const first = node * nodeLeaves;
    await builder.setNode(
      node,
      Array.from({ length: leavesOfNode(node, sizeBytes) }, (_, leaf) => ids[first + leaf]),
    );
  }
  return await builder.finish();
}

const seeds = fc.array(fc.option(fc.nat(4), { nil: undefined }), { minLength: 1, maxLength: 150 });

describe('flat builder', () => {
  test('writes one entry per MiB and zeros where nothing is set', async () => {
    const store = new MemoryContents();
    const builder = new FlatBuilder({ reader: store, writer: store }, { sizeBytes: 2.5 * leafBytes, signal });
    await builder.patchNode(0, new Map([[1, leafOf(1)]]));
    const object = await builder.finish();
    const text = Buffer.from(store.contents.get(object.slice(1) as ContentId)!).toString();
    const entry = (offset: number, id: ContentId): string =>
      `{${offset === 0 ? '' : `"s":${offset},`}"l":1048576,"o":"${id}"}`;
    const entries = [entry(0, zero), entry(1_048_576, leafOf(1)), entry(2_097_152, zero)];
    assert.equal(text, `{"stream":"kopia:indirect","entries":[${entries.join(',')}]}\n`);
  });

  test('keeps what the base has, in the same object as a full backup', async () => {
    await fc.assert(
      fc.asyncProperty(
        seeds,
        fc.array(fc.record({ leaf: fc.nat(), seed: fc.nat(4) }), { maxLength: 5 }),
        async (all, changes) => {
          const store = new MemoryContents();
          const sizeBytes = all.length * leafBytes - 5;
          const ids = all.map((seed) => (seed === undefined ? undefined : leafOf(seed)));
          const parts = { reader: store, writer: store };
          const base = {
            object: await setAll(new FlatBuilder(parts, { sizeBytes, signal }), sizeBytes, ids),
            sizeBytes,
          };
          const builder = new FlatBuilder(parts, { sizeBytes, base, signal });
          const byNode = new Map<number, Map<number, LeafId>>();
          for (const { leaf, seed } of changes) {
            const at = leaf % all.length;
            ids[at] = leafOf(seed);
            const node = Math.floor(at / nodeLeaves);
            byNode.set(node, (byNode.get(node) ?? new Map<number, LeafId>()).set(at % nodeLeaves, leafOf(seed)));
          }
          for (const [node, changed] of byNode) await builder.patchNode(node, changed);
          assert.equal(await builder.checkpoint(), await builder.finish());
          const object = await builder.finish();
          assert.deepEqual(
            await idsOf(store, object),
            ids.map((id) => id ?? zero),
          );
          assert.equal(object, await setAll(new FlatBuilder(parts, { sizeBytes, signal }), sizeBytes, ids));
        },
      ),
      { numRuns: 40 },
    );
  });

  test('cuts the text after every 128 KiB', async () => {
    const store = new MemoryContents();
    const sizeBytes = 4_000 * leafBytes;
    const builder = new FlatBuilder({ reader: store, writer: store }, { sizeBytes, signal });
    await builder.setZeroNodes(0, nodeCount(sizeBytes));
    const object = await builder.finish();
    assert.match(object, /^IIx/);
    const pieces = store.writes.slice(1, -1).map((id) => store.contents.get(id)!.length);
    assert.ok(pieces.length > 2 && pieces.slice(0, -1).every((length) => length === flatCutBytes));
    assert.equal((await idsOf(store, object)).length, 4_000);
  });

  test('does not let a resized last leaf pass for data', async () => {
    const store = new MemoryContents();
    const parts = { reader: store, writer: store };
    const before = 1.5 * leafBytes;
    const object = await setAll(new FlatBuilder(parts, { sizeBytes: before, signal }), before, [leafOf(1), leafOf(2)]);
    const sizeBytes = 3 * leafBytes;
    const builder = new FlatBuilder(parts, { sizeBytes, base: { object, sizeBytes: before }, signal });
    await assert.rejects(builder.finish(), (error) => hasCode(error, 'unsupported'));
    assert.deepEqual(await builder.baseLeaves(0), [leafOf(1), undefined, undefined]);
    await builder.patchNode(0, new Map([[1, leafOf(3)]]));
    assert.deepEqual(await idsOf(store, await builder.finish()), [leafOf(1), leafOf(3), zero]);
  });
});

describe('adopted tree', () => {
  test('has every leaf of a flat parent and names a padded tail as unknown', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, fc.nat(2), async (all, short) => {
        const store = new MemoryContents();
        const parts = { reader: store, writer: store };
        const sizeBytes = all.length * leafBytes - short;
        const ids = all.map((seed) => (seed === undefined ? undefined : leafOf(seed)));
        const flat = await setAll(new FlatBuilder(parts, { sizeBytes, signal }), sizeBytes, ids);
        const adopted = await adoptTree(parts, { object: flat, sizeBytes, signal });
        const tail = leafCount(sizeBytes) - 1;
        const offset = tail * leafBytes;
        assert.deepEqual(adopted.unknown, short === 0 ? [] : [{ offset, lengthBytes: sizeBytes - offset }]);
        if (short > 0) ids[tail] = undefined;
        assert.equal(adopted.object, await setAll(new TreeBuilder(parts, { sizeBytes, signal }), sizeBytes, ids));
      }),
      { numRuns: 40 },
    );
  });

  test('is the tree itself when the parent has our leaves already', async () => {
    const store = new MemoryContents();
    const parts = { reader: store, writer: store };
    const sizeBytes = 2 * nodeBytes + 17;
    const object = await setAll(new TreeBuilder(parts, { sizeBytes, signal }), sizeBytes, [
      leafOf(1),
      undefined,
      leafOf(2),
    ]);
    assert.deepEqual(await adoptTree(parts, { object, sizeBytes, signal }), { object, unknown: [] });
  });

  test('knows nothing of a parent that was split elsewhere', async () => {
    const store = new MemoryContents();
    const sizes = [leafBytes, 700_000, leafBytes, leafBytes - 700_000, leafBytes];
    let offset = 0;
    const entries = sizes.map((lengthBytes, index) => {
      const entry = { offset, lengthBytes, objectId: directObjectId(leafOf(index)) };
      offset += lengthBytes;
      return entry;
    });
    const object = indirectObjectId(directObjectId(store.put('x', encodeIndirect(entries))));
    const adopted = await adoptTree({ reader: store, writer: store }, { object, sizeBytes: offset, signal });
    assert.deepEqual(adopted.unknown, [{ offset: leafBytes, lengthBytes: 2 * leafBytes }]);
    const ids = await idsOf(store, adopted.object);
    assert.deepEqual(ids, [leafOf(0), zero, zero, leafOf(4)]);
  });
});
