import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Repository } from '../repository/repository.ts';
import type { LeafId, VolumeBuilder } from '../repository/tree/volume-builder.ts';
import { leafBytes, nodeLeaves } from '../repository/tree/volume-layout.ts';
import { nextTurn } from '../std/next-turn.ts';
import type { BlockSource } from '../volume/block-source.ts';
import { auditUnchanged, type AuditParts } from './backup-audit.ts';

/** A volume of zeros whose tree counts how it is asked. */
function world(leaves: number): { parts: AuditParts; asked: number[]; mostAtOnce: () => number } {
  const asked: number[] = [];
  let [atOnce, most] = [0, 0];
  const tree = {
    baseLeaves: async (node: number): Promise<readonly LeafId[]> => {
      asked.push(node);
      atOnce += 1;
      most = Math.max(most, atOnce);
      await nextTurn();
      atOnce -= 1;
      return Array.from({ length: nodeLeaves }, () => undefined);
    },
  };
  const source = {
    sizeBytes: leaves * leafBytes,
    readCached: (_: unknown, into: Uint8Array): boolean => {
      into.fill(0);
      return true;
    },
  };
  const repository = { codec: { idOf: (bytes: Uint8Array) => `${bytes.length} bytes` } };
  const parts = {
    repository: repository as unknown as Repository,
    source: source as unknown as BlockSource,
    tree: tree as unknown as VolumeBuilder,
  };
  return { parts, asked, mostAtOnce: () => most };
}

const options = { changed: [], cursor: 0, padTail: false, signal: new AbortController().signal };

test('audit > reads each node of its sample once, and many side by side', async () => {
  const few = world(4 * nodeLeaves);
  assert.equal((await auditUnchanged(few.parts, options)).chunks, 64);
  assert.deepEqual(
    few.asked.toSorted((a, b) => a - b),
    [0, 1, 2, 3],
  );
  const many = world(1000 * nodeLeaves);
  await auditUnchanged(many.parts, options);
  assert.equal(many.asked.length, new Set(many.asked).size);
  assert.ok(many.asked.length > 32 && many.mostAtOnce() === 32, `${many.mostAtOnce()} at once`);
});
