import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import { extent } from '../../volume/extent.ts';
import type { Extent } from '../../volume/extent.ts';
import { encodeIndirect, indirectHead, indirectTail } from './indirect.ts';
import type { IndirectEntry } from './indirect.ts';
import type { LeafRun } from './leaf-run.ts';
import { MemoryContents } from './memory-contents.ts';
import { directObjectId, indirectObjectId, objectId } from './object-id.ts';
import type { ObjectId } from './object-id.ts';
import { leaves, readObject } from './object-reader.ts';

const { signal } = new AbortController();

/** Any tree that kopia could meet: a content, or a list (cut at some size) of parts. */
type Model =
  | { readonly bytes: number; readonly length: number }
  | { readonly parts: readonly Model[]; readonly cut: number };

const model = (depth: number): fc.Arbitrary<Model> => {
  const leaf = fc.record({ bytes: fc.nat(3), length: fc.oneof(fc.constant(8), fc.integer({ min: 0, max: 12 })) });
  if (depth === 0) return leaf;
  const parts = fc.array(fc.oneof(leaf, model(depth - 1)), { minLength: 1, maxLength: 6 });
  return fc.oneof(leaf, fc.record({ parts, cut: fc.oneof(fc.constant(1e9), fc.integer({ min: 120, max: 300 })) }));
};

/** Writes the model; nested members without bytes are left out, as no writer makes them. */
function write(store: MemoryContents, tree: Model): { id: ObjectId; bytes: Buffer; leaves: number } {
  if (!('parts' in tree)) {
    const bytes = Buffer.alloc(tree.length, tree.bytes);
    return { id: directObjectId(store.put('', bytes)), bytes, leaves: 1 };
  }
  const entries: IndirectEntry[] = [];
  const pieces: Buffer[] = [];
  let offset = 0;
  let count = 0;
  for (const part of tree.parts) {
    const child = write(store, part);
    if (child.bytes.length === 0 && child.id.startsWith('I')) continue;
    entries.push({ offset, lengthBytes: child.bytes.length, objectId: child.id });
    offset += child.bytes.length;
    count += child.leaves;
    pieces.push(child.bytes);
  }
  if (entries.length === 0) return write(store, { bytes: 0, length: 0 });
  return { id: indirectObjectId(writeList(store, entries, tree.cut)), bytes: Buffer.concat(pieces), leaves: count };
}

function writeList(store: MemoryContents, entries: readonly IndirectEntry[], cut: number): ObjectId {
  const text = encodeIndirect(entries);
  if (text.length <= cut) return directObjectId(store.put('x', text));
  const pieces: IndirectEntry[] = [];
  for (let offset = 0; offset < text.length; offset += cut) {
    const piece = text.subarray(offset, offset + cut);
    pieces.push({ offset, lengthBytes: piece.length, objectId: directObjectId(store.put('x', piece)) });
  }
  return indirectObjectId(writeList(store, pieces, cut * 8));
}

async function collect(store: MemoryContents, id: ObjectId, within?: Extent): Promise<LeafRun[]> {
  const runs: LeafRun[] = [];
  for await (const batch of leaves(store, id, { within, signal })) {
    assert.ok(batch.length >= 1 && batch.length <= 256);
    runs.push(...batch);
  }
  return runs;
}

function bytesOf(store: MemoryContents, runs: readonly LeafRun[]): Buffer {
  const pieces = runs.flatMap((run) => Array.from({ length: run.repeat }, () => store.contents.get(run.contentId)!));
  return Buffer.concat(pieces);
}

const isCorrupt = (error: unknown): boolean => hasCode(error, 'corrupt');

describe('object reader', () => {
  test('walks any object to exactly its bytes, in contiguous merged runs', async () => {
    await fc.assert(
      fc.asyncProperty(model(3), async (tree) => {
        const store = new MemoryContents();
        const { id, bytes } = write(store, tree);
        const runs = await collect(store, id);
        assert.deepEqual(bytesOf(store, runs), bytes);
        let offset = 0;
        for (const [index, run] of runs.entries()) {
          assert.equal(run.offset, offset);
          offset += run.lengthBytes * run.repeat;
          const next = runs[index + 1];
          assert.ok(next === undefined || next.contentId !== run.contentId);
        }
        assert.deepEqual(Buffer.from(await readObject(store, id, { maxBytes: bytes.length, signal })), bytes);
      }),
      { numRuns: 300 },
    );
  });

  test('gives exactly the leaves that touch a range', async () => {
    await fc.assert(
      fc.asyncProperty(model(3), fc.nat(80), fc.nat(40), async (tree, offset, lengthBytes) => {
        const store = new MemoryContents();
        const { id } = write(store, tree);
        const single = (runs: readonly LeafRun[]): LeafRun[] =>
          runs.flatMap((run) =>
            Array.from({ length: run.repeat }, (_, n) => ({
              ...run,
              offset: run.offset + n * run.lengthBytes,
              repeat: 1,
            })),
          );
        const all = single(await collect(store, id));
        const end = offset + lengthBytes;
        const expected = all.filter((leaf) => leaf.offset < end && leaf.offset + leaf.lengthBytes > offset);
        const found = single(await collect(store, id, extent(offset, lengthBytes)));
        assert.deepEqual(found, lengthBytes === 0 ? [] : expected);
      }),
      { numRuns: 300 },
    );
  });

  test('does not read nodes outside of the range', async () => {
    const store = new MemoryContents();
    const nodes = [1, 2, 3].map((byte) => {
      const leaf = directObjectId(store.put('', Buffer.alloc(8, byte)));
      return directObjectId(store.put('x', encodeIndirect([{ offset: 0, lengthBytes: 8, objectId: leaf }])));
    });
    const list = nodes.map((node, n) => ({ offset: n * 8, lengthBytes: 8, objectId: indirectObjectId(node) }));
    const root = directObjectId(store.put('x', encodeIndirect(list)));
    const runs = await collect(store, indirectObjectId(root), extent(9, 2));
    assert.deepEqual(
      runs.map((run) => run.offset),
      [8],
    );
    assert.deepEqual(store.reads, [root, nodes[1]!]);
  });

  test('says a hole of 16 TiB in one run and reads its node once', async () => {
    const store = new MemoryContents();
    const node = 64 * 1024 * 1024;
    const zero = store.put('', Buffer.alloc(1));
    const entry = (n: number): IndirectEntry => ({
      offset: n * 2 ** 20,
      lengthBytes: 2 ** 20,
      objectId: directObjectId(zero),
    });
    const id = store.put('x', encodeIndirect(Array.from({ length: 64 }, (_, n) => entry(n))));
    const entries = Array.from({ length: 262_144 }, (_, n) => ({
      offset: n * node,
      lengthBytes: node,
      objectId: indirectObjectId(directObjectId(id)),
    }));
    const root = indirectObjectId(writeList(store, entries, 200_000));
    assert.deepEqual(await collect(store, root), [
      { offset: 0, lengthBytes: 2 ** 20, contentId: zero, repeat: 262_144 * 64 },
    ]);
    assert.equal(store.reads.filter((read) => read === id).length, 1);
  });

  test('refuses lengths that contradict each other, and lists in circles or without end', async () => {
    const store = new MemoryContents();
    const leaf = directObjectId(store.put('', Buffer.alloc(8)));
    const list = (entries: readonly IndirectEntry[]): ObjectId =>
      indirectObjectId(directObjectId(store.put('x', encodeIndirect(entries))));
    const node = list([{ offset: 0, lengthBytes: 8, objectId: leaf }]);
    await assert.rejects(collect(store, list([{ offset: 0, lengthBytes: 9, objectId: node }])), isCorrupt);
    await assert.rejects(collect(store, list([{ offset: 0, lengthBytes: 0, objectId: node }])), isCorrupt);
    await assert.rejects(
      readObject(store, list([{ offset: 0, lengthBytes: 9, objectId: leaf }]), { maxBytes: 99, signal }),
      isCorrupt,
    );
    let deep = node;
    for (let level = 0; level < 6; level += 1) deep = list([{ offset: 0, lengthBytes: 8, objectId: deep }]);
    await assert.rejects(collect(store, deep), isCorrupt);
    const text = indirectHead + indirectTail;
    await assert.rejects(
      collect(store, indirectObjectId(directObjectId(store.put('x', Buffer.from(text))))),
      isCorrupt,
    );
    await assert.rejects(readObject(store, leaf, { maxBytes: 7, signal }), isCorrupt);
    await assert.rejects(collect(store, objectId('Ixaa')), (error) => hasCode(error, 'content-missing'));
  });

  test('stops at an abort with its reason', async () => {
    const store = new MemoryContents();
    const tree: Model = { parts: Array.from({ length: 5 }, (_, n) => ({ bytes: n, length: 8 })), cut: 120 };
    const reason = new Error('enough');
    await assert.rejects(async () => {
      for await (const _ of leaves(store, write(store, tree).id, { signal: AbortSignal.abort(reason) }));
    }, reason);
  });
});
