import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';

import { hasCode } from '../../std/dray-error.ts';
import { encodeIndirect } from './indirect.ts';
import { MemoryContents } from './memory-contents.ts';
import { directObjectId, indirectObjectId, objectId, type ObjectId } from './object-id.ts';
import { leaves, readObject, readRun } from './object-reader.ts';

const { signal } = new AbortController();
const deflateHeader = Buffer.from('00001500', 'hex');

/** Stores a chunk as format version 1 does: what is hashed and stored is its compressed form. */
function compressed(store: MemoryContents, plain: Uint8Array): ObjectId {
  return objectId(`Z${store.put('', Buffer.concat([deflateHeader, deflateRawSync(plain)]))}`);
}

function listed(store: MemoryContents, parts: readonly (readonly [ObjectId, number])[]): ObjectId {
  let offset = 0;
  const entries = parts.map(([id, lengthBytes]) => {
    const entry = { offset, lengthBytes, objectId: id };
    offset += lengthBytes;
    return entry;
  });
  return indirectObjectId(directObjectId(store.put('x', encodeIndirect(entries))));
}

test('compressed objects > chunks that are compressed and chunks that are not are read as they were written', async () => {
  const store = new MemoryContents();
  const [first, second] = [Buffer.alloc(5000, 'first'), Buffer.from('second')];
  const parts = [
    [compressed(store, first), first.length],
    [directObjectId(store.put('', second)), second.length],
    [compressed(store, first), first.length],
  ] as const;
  const object = listed(store, parts);
  const whole = Buffer.concat([first, second, first]);
  assert.ok(whole.equals(await readObject(store, object, { maxBytes: 20_000, signal })));
  const pieces: Uint8Array[] = [];
  for await (const runs of leaves(store, object, { compressed: true, signal })) {
    for (const run of runs) pieces.push(await readRun(store, run, { signal }));
  }
  assert.ok(whole.equals(Buffer.concat(pieces)));
  assert.ok(first.equals(await readObject(store, parts[0][0], { maxBytes: 5000, signal })));
});

test('compressed objects > who does not ask for them is told that they are not supported', async () => {
  const store = new MemoryContents();
  const chunk = compressed(store, Buffer.alloc(10));
  for (const object of [chunk, listed(store, [[chunk, 10]])]) {
    await assert.rejects(Array.fromAsync(leaves(store, object, { signal })), (error) => hasCode(error, 'unsupported'));
  }
});

test('compressed objects > no more comes out than a list says, or than any chunk is long', async () => {
  const store = new MemoryContents();
  const bomb = compressed(store, Buffer.alloc(17 * 1024 * 1024));
  const corrupt = (error: unknown): boolean => hasCode(error, 'corrupt');
  await assert.rejects(readObject(store, bomb, { maxBytes: 2 ** 30, signal }), corrupt);
  await assert.rejects(readObject(store, listed(store, [[bomb, 5]]), { maxBytes: 2 ** 30, signal }), corrupt);
  const long = listed(store, [[bomb, 2 ** 40]]);
  await assert.rejects(Array.fromAsync(leaves(store, long, { compressed: true, signal })), corrupt);
  const short = listed(store, [[compressed(store, Buffer.alloc(4)), 5]]);
  await assert.rejects(readObject(store, short, { maxBytes: 100, signal }), corrupt);
});
