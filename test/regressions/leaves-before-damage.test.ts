/** Verify goes on behind a list that cannot be read; up to 256 runs of leaves before it were looked at by nobody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { ContentId } from '../../src/repository/content/content-id.ts';
import { MemoryContents } from '../../src/repository/object/memory-contents.ts';
import { leaves } from '../../src/repository/object/object-reader.ts';
import { TreeBuilder } from '../../src/repository/tree/tree-builder.ts';
import { leafBytes, nodeLeaves } from '../../src/repository/tree/volume-layout.ts';
import { hasCode } from '../../src/std/dray-error.ts';

const { signal } = new AbortController();

test('all leaves before a missing list are given before it is complained of', async () => {
  const store = new MemoryContents();
  const sizeBytes = 3 * nodeLeaves * leafBytes;
  const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, signal });
  const ids = Array.from({ length: 3 * nodeLeaves }, (_, leaf) => store.put('', Buffer.from(`leaf ${leaf}`)));
  let lost: ContentId | undefined;
  for (let node = 0; node < 3; node++) {
    await builder.setNode(node, ids.slice(node * nodeLeaves, (node + 1) * nodeLeaves));
    if (node === 1) lost = store.writes.at(-1);
  }
  const object = await builder.finish();
  store.contents.delete(lost!);
  const found: ContentId[] = [];
  const walk = async (): Promise<void> => {
    for await (const batch of leaves(store, object, { signal })) for (const run of batch) found.push(run.contentId);
  };
  await assert.rejects(walk(), (error) => hasCode(error, 'content-missing'));
  assert.deepEqual(found, ids.slice(0, nodeLeaves));
});
