import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decodeDirEntry } from '../repository/manifest/dir-entry.ts';
import type { Snapshot } from '../repository/manifest/snapshot.ts';
import { encodeIndirect } from '../repository/object/indirect.ts';
import { MemoryContents } from '../repository/object/memory-contents.ts';
import { directObjectId, indirectObjectId, type ObjectId } from '../repository/object/object-id.ts';
import { parseJson } from '../std/lossless-json.ts';
import { walkSnapshot, type DamagedPlace } from './snapshot-walk.ts';

const signal = AbortSignal.timeout(60_000);
const nodeBytes = 64 * 1024 * 1024;
const nodes = 8;

/** A file of eight nodes; nothing but the list of them is there. */
function withoutNodes(contents: MemoryContents): ObjectId {
  const entries = Array.from({ length: nodes }, (_, node) => {
    const leaf = contents.put('', Buffer.from(`leaf ${node}`));
    const list = contents.put(
      'x',
      encodeIndirect([{ offset: 0, lengthBytes: nodeBytes, objectId: directObjectId(leaf) }]),
    );
    contents.contents.delete(list);
    return { offset: node * nodeBytes, lengthBytes: nodeBytes, objectId: indirectObjectId(directObjectId(list)) };
  });
  return indirectObjectId(directObjectId(contents.put('x', encodeIndirect(entries))));
}

async function damageOfFile(contents: MemoryContents, object: ObjectId, placesMax: number): Promise<DamagedPlace[]> {
  const entry = parseJson(`{"name":"f","type":"f","mode":"0600","size":${nodes * nodeBytes},"obj":"${object}"}`);
  const snapshot = { rootEntry: decodeDirEntry(entry) } as Snapshot;
  const places: DamagedPlace[] = [];
  await walkSnapshot(contents, snapshot, {
    faultOf: () => undefined,
    onDamage: (place) => void places.push(place),
    onUnsupported: () => assert.fail(),
    placesMax,
    signal,
  });
  return places;
}

test('a walk > names each place that cannot be read, and when they are too many, all that was not looked at', async () => {
  const contents = new MemoryContents();
  const object = withoutNodes(contents);
  const each = await damageOfFile(contents, object, 1000);
  assert.deepEqual(
    each.map(({ extent }) => extent.offset / nodeBytes),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
  for (const { reason } of each) assert.doesNotMatch(reason, /not looked at/);

  const few = await damageOfFile(contents, object, 3);
  assert.deepEqual(
    few.map(({ extent }) => [extent.offset / nodeBytes, extent.lengthBytes / nodeBytes]),
    [
      [0, 1],
      [1, 1],
      [2, 1],
      [3, 5],
    ],
  );
  assert.match(few[3]!.reason, /what follows was not looked at, after 3 places/);
});
