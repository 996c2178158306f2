import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import { contentId } from '../content/content-id.ts';
import { encodeIndirect } from '../object/indirect.ts';
import { MemoryContents } from '../object/memory-contents.ts';
import { directObjectId, indirectObjectId, objectId } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import type { DirEntry } from './dir-entry.ts';
import { directoryEntries } from './directory-entries.ts';
import { decodeDirectory, encodeDirectory } from './directory.ts';
import { findEntry, parseSnapshotPath } from './find-entry.ts';

const { signal } = new AbortController();
const object = objectId('00aa');

async function read(contents: MemoryContents, id: ObjectId): Promise<DirEntry[]> {
  const entries: DirEntry[] = [];
  for await (const batch of directoryEntries(contents, id, { signal })) entries.push(...batch);
  return entries;
}

/** Stores a text as an object of pieces of this length. */
async function store(contents: MemoryContents, bytes: Uint8Array, pieceBytes: number): Promise<ObjectId> {
  const entries: { offset: number; lengthBytes: number; objectId: ObjectId }[] = [];
  for (let offset = 0; offset < bytes.length; offset += pieceBytes) {
    const piece = bytes.subarray(offset, offset + pieceBytes);
    const id = directObjectId(await contents.write('k', piece));
    entries.push({ offset, lengthBytes: piece.length, objectId: id });
  }
  return indirectObjectId(directObjectId(await contents.write('k', encodeIndirect(entries))));
}

const entry: fc.Arbitrary<DirEntry> = fc.record({
  name: fc.string({ unit: 'binary', maxLength: 20 }),
  type: fc.constantFrom('f', 's', 'd', 'x', ''),
  mode: fc.nat(0o777_777_777),
  sizeBytes: fc.nat(),
  modified: fc.bigInt(-1_000_000_000_000_000_000n, 4_000_000_000_000_000_000n),
  uid: fc.nat(),
  gid: fc.nat(),
  object: fc.constant(object),
  summary: fc.constant(undefined),
});

describe('entries of a directory', () => {
  test('are those of the whole listing, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(entry, { maxLength: 12 }),
        fc.integer({ min: 20, max: 400 }),
        async (entries, piece) => {
          const contents = new MemoryContents();
          const bytes = encodeDirectory({ entries });
          const wanted = decodeDirectory(bytes).entries.map((one) => ({ ...one, name: one.name.toWellFormed() }));
          assert.deepEqual(await read(contents, await store(contents, bytes, piece)), wanted);
          assert.deepEqual(await read(contents, directObjectId(await contents.write('k', bytes))), wanted);
        },
      ),
    );
  });

  test('may be printed by others, as Go would take them', async () => {
    const contents = new MemoryContents();
    const text = '{"ENTRIES":[{"Name":"a","TYPE":"f","size":null,"obj":"00aa","more":1}],"stream":"kopia:directory"}';
    const id = directObjectId(await contents.write('k', Buffer.from(text)));
    const [only] = await read(contents, id);
    assert.deepEqual([only?.name, only?.type, only?.sizeBytes, only?.mode], ['a', 'f', 0, 0]);
    const empty = '{"stream":"kopia:directory","entries":null,"summary":null}';
    assert.deepEqual(await read(contents, directObjectId(await contents.write('k', Buffer.from(empty)))), []);
  });

  test('are corrupt when they are no listing', async () => {
    const contents = new MemoryContents();
    for (const text of [
      '',
      'x',
      '[]',
      '{"stream":"kopia:indirect","entries":[]}',
      '{"entries":[{"name":"a","obj":"00aa"}]}',
      '{"stream":"kopia:directory","entries":[{"name":"a"}]}',
      '{"stream":"kopia:directory","entries":[7]}',
      '{"stream":"kopia:directory","entries":[{"name":"a","obj":"../x"}]}',
      '{"stream":"kopia:directory","entries":[{"name":"a","mode":"08","obj":"00aa"}]}',
    ]) {
      const id = directObjectId(await contents.write('k', Buffer.from(text)));
      await assert.rejects(read(contents, id), (error) => hasCode(error, 'corrupt'), text);
    }
    await assert.rejects(read(contents, directObjectId(contentId('k00'))), (error) =>
      hasCode(error, 'content-missing'),
    );
  });
});

describe('a path in a snapshot', () => {
  test('is split at its slashes, and found name by name', async () => {
    assert.deepEqual(parseSnapshotPath('7f//a/b/'), { snapshot: '7f', path: ['a', 'b'] });
    assert.deepEqual(parseSnapshotPath('7f'), { snapshot: '7f', path: [] });
    const contents = new MemoryContents();
    const file = { name: '..', type: 'f', mode: 0, sizeBytes: 3, modified: 0n, uid: 0, gid: 0, object };
    const inner = directObjectId(await contents.write('k', encodeDirectory({ entries: [file] })));
    const folder = { ...file, name: 'a', type: 'd', object: inner };
    const top = directObjectId(await contents.write('k', encodeDirectory({ entries: [folder] })));
    const root = { ...folder, name: '', object: top };
    assert.equal((await findEntry(contents, root, ['a', '..'], { signal })).sizeBytes, 3);
    assert.equal(await findEntry(contents, root, [], { signal }), root);
    for (const path of [['b'], ['a', 'b'], ['a', '..', 'c']]) {
      await assert.rejects(findEntry(contents, root, path, { signal }), (error) => hasCode(error, 'path-missing'));
    }
  });
});
