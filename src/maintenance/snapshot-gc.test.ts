import assert from 'node:assert/strict';
import { test } from 'node:test';

import { contentId } from '../repository/content/content-id.ts';
import { verdict, type Verdict } from './snapshot-gc.ts';

const startMs = 1_000_000_000;
const old = { deleted: false, timestampSeconds: (startMs - 24 * 3_600_000) / 1000 };
const young = { deleted: false, timestampSeconds: (startMs - 24 * 3_600_000) / 1000 + 1 };

test('collection of contents > what becomes of each', () => {
  const cases: readonly [id: string, entry: typeof old, used: boolean, expected: Verdict][] = [
    ['aa', old, true, 'keep'],
    ['aa', { ...old, deleted: true }, true, 'recover'],
    ['aa', { ...young, deleted: true }, true, 'recover'],
    ['aa', old, false, 'mark'],
    ['aa', { ...old, deleted: true }, false, 'marked'],
    ['aa', young, false, 'recent'],
    ['aa', { ...young, deleted: true }, false, 'recent'],
    ['kaa', old, false, 'mark'],
    ['xaa', old, false, 'mark'],
    ['maa', old, false, 'system'],
    ['maa', { ...old, deleted: true }, false, 'system'],
  ];
  for (const [id, entry, used, expected] of cases) {
    assert.equal(verdict({ contentId: contentId(id), ...entry }, { used, startMs }), expected, `${id} ${expected}`);
  }
});
