import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import { formatGoTime, nanosecondsFromMs, parseGoTime } from '../../std/go-time.ts';
import { jsonObject, parseJson } from '../../std/lossless-json.ts';
import { seededRng } from '../../std/rng.ts';
import { contentIdOf } from '../content/content-id.ts';
import type { ContentId } from '../content/content-id.ts';
import { decodeManifestContent, encodeManifestContent } from './manifest-codec.ts';
import type { ManifestEntry, ManifestId } from './manifest-codec.ts';
import { compactionContents, ManifestSet } from './manifest-set.ts';

let now = 0;
const parts = {
  clock: { nowMs: () => now, monotonicMs: () => now, sleep: async () => {} },
  rng: seededRng(1),
};

const zip = (text: string): Uint8Array => gzipSync(text);
const contentNumber = (n: number): ContentId => contentIdOf('m', Buffer.from(n.toString(16).padStart(8, '0'), 'hex'));

function save(set: ManifestSet, store: Map<ContentId, Uint8Array>): void {
  const plan = set.takePending();
  if (plan === undefined) return;
  const id = contentNumber(store.size + Math.floor(parts.rng.uniform() * 2 ** 31));
  store.set(id, plan.content);
  set.noteContent(id);
  for (const old of plan.obsolete) store.delete(old);
}

function load(store: ReadonlyMap<ContentId, Uint8Array>): ManifestSet {
  const set = new ManifestSet(parts);
  for (const [id, bytes] of [...store].toSorted(() => parts.rng.uniform() - 0.5)) {
    set.addContent(id, decodeManifestContent(bytes));
  }
  return set;
}

describe('manifest content', () => {
  test('reads what kopia writes and carries data over without a change', () => {
    const text =
      '{"entries":[{"id":"0a","labels":{"type":"policy","__proto__":"x"},"modified":"2026-01-02T03:04:05.123456789+02:00",' +
      '"data":{"n":9223372036854775807,"f":1.10,"__proto__":{"a":1}}},' +
      '{"id":"0b","labels":null,"modified":"2026-01-02T03:04:05Z","deleted":true,"data":null}]}\n';
    const entries = decodeManifestContent(zip(text));
    assert.equal(entries[0]!.data, '{"n":9223372036854775807,"f":1.10,"__proto__":{"a":1}}');
    assert.equal(formatGoTime(entries[0]!.modified), '2026-01-02T01:04:05.123456789Z');
    assert.deepEqual(Object.keys(entries[0]!.labels), ['type', '__proto__']);
    assert.equal(entries[1]!.deleted, true);
    assert.deepEqual(decodeManifestContent(encodeManifestContent(entries)), entries);
    assert.match(
      gunzipSync(encodeManifestContent(entries)).toString(),
      /^\{"entries":\[.*"deleted":true,"data":null\}\]\}\n$/,
    );
  });

  test("keeps Go's escapes, so that kopia shows the same text before and after", () => {
    const data = String.raw`{"files":{"ignore":["*.tmp \u003c\u0026\u003e \u2028"],"maxFileSize":9223372036854775807}}`;
    const entry = `{"id":"a","labels":{"type":"policy"},"modified":"2026-01-02T03:04:05Z","data":${data}}`;
    const entries = decodeManifestContent(zip(`{"entries":[${entry}]}`));
    assert.equal(entries[0]!.data, data);
    assert.ok(gunzipSync(encodeManifestContent(entries)).toString().includes(data));
  });

  test('answers anything else with corrupt', () => {
    const isCorrupt = (error: unknown): boolean => hasCode(error, 'corrupt');
    const bad = [
      '',
      '[]',
      '{"entries":[],"more":1}',
      '{"entries":{}}',
      '{"entries":[null]}',
      '{"entries":[{"id":"","labels":{},"modified":"2026-01-02T03:04:05Z","data":1}]}',
      '{"entries":[{"id":"a","labels":{},"modified":"yesterday","data":1}]}',
      '{"entries":[{"id":"a","labels":{"a":1},"modified":"2026-01-02T03:04:05Z","data":1}]}',
      '{"entries":[{"id":"a","labels":{},"deleted":1,"modified":"2026-01-02T03:04:05Z","data":1}]}',
    ];
    for (const text of bad) assert.throws(() => decodeManifestContent(zip(text)), isCorrupt, text);
    assert.throws(() => decodeManifestContent(Buffer.from('{"entries":[]}')), isCorrupt);
    assert.throws(() => decodeManifestContent(gzipSync(new Uint8Array(257 * 1024 * 1024))), isCorrupt);
    const good = zip('{"entries":[{"id":"a","labels":{"type":"x"},"modified":"2026-01-02T03:04:05Z","data":{}}]}');
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
        const mutated = Uint8Array.from(good);
        mutated[at] = byte;
        try {
          decodeManifestContent(mutated);
        } catch (error) {
          assert.ok(isCorrupt(error), String(error));
        }
      }),
    );
  });
});

describe('manifest set', () => {
  test('lets the strictly later entry win to the nanosecond, whatever the order of contents', () => {
    const at = (text: string, data: string, deleted = false): ManifestEntry => ({
      id: 'a' as ManifestId,
      labels: { type: 't' },
      modified: parseGoTime(text)!,
      deleted,
      data,
    });
    const early = [at('2026-01-01T00:00:00.000000001Z', '1')];
    const late = [at('2026-01-01T00:00:00.000000002Z', '2')];
    const gone = [at('2026-01-01T00:00:00.000000003Z', 'null', true)];
    for (const order of [
      [early, late],
      [late, early],
    ]) {
      const set = new ManifestSet(parts);
      for (const [index, entries] of order.entries()) set.addContent(contentNumber(index), entries);
      assert.equal(set.get('a' as ManifestId)!.data, '2');
      set.addContent(contentNumber(9), gone);
      assert.deepEqual(set.find({}), []);
      set.addContent(contentNumber(10), late);
      assert.deepEqual(set.find({}), []);
    }
  });

  test('replaces and removes with later times, also when the clock stands still or runs backwards', () => {
    now = 1_000;
    const store = new Map<ContentId, Uint8Array>();
    const set = load(store);
    const id = set.put({ labels: { type: 't' }, data: 1 });
    save(set, store);
    now = 500;
    set.put({ labels: { type: 't' }, data: 2, id });
    save(set, store);
    assert.equal(load(store).get(id)!.data, '2');
    assert.equal(load(store).get(id)!.modified, nanosecondsFromMs(1_000) + 1n);
    set.delete(id);
    save(set, store);
    assert.equal(load(store).get(id), undefined);
    set.delete(id);
    assert.equal(set.hasPending, false);
  });

  test('finds by all labels and takes the latest change, then the greater id', () => {
    now = 10;
    const set = new ManifestSet(parts);
    const a = set.put({ labels: { type: 't', path: '/a' }, data: null });
    const b = set.put({ labels: { type: 't', path: '/b' }, data: null });
    assert.equal(set.find({ type: 't' }).length, 2);
    assert.equal(set.latest({ type: 't' })!.id, a > b ? a : b);
    now = 20;
    set.put({ labels: { type: 't', path: '/a' }, data: null, id: a < b ? a : b });
    assert.equal(set.latest({ type: 't' })!.id, a < b ? a : b);
    assert.deepEqual(set.find({ type: 't', path: '/c' }), []);
  });

  test('keeps the same manifests through any changes, reloads and compactions', () => {
    const step = fc.record({ name: fc.nat(5), value: fc.option(fc.nat()), save: fc.boolean(), reload: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const store = new Map<ContentId, Uint8Array>();
        const model = new Map<string, string>();
        let set = load(store);
        for (const { name, value, save: doSave, reload } of steps) {
          const id = name.toString(16).repeat(32) as ManifestId;
          if (value === null) {
            set.delete(id);
            model.delete(id);
          } else {
            set.put({ labels: { type: 't' }, data: jsonObject({ value }), id });
            model.set(id, JSON.stringify({ value }));
          }
          if (doSave || reload) save(set, store);
          if (reload) set = load(store);
          assert.ok(store.size < compactionContents);
          assert.deepEqual(new Map(set.find({}).map((entry) => [entry.id as string, entry.data])), model);
        }
      }),
    );
  });

  test('compacts at the sixteenth content into one that replaces all others', () => {
    const store = new Map<ContentId, Uint8Array>();
    const set = load(store);
    for (let n = 0; n < compactionContents; n += 1) {
      const id = n.toString(16).repeat(32) as ManifestId;
      set.put({ labels: { type: 't' }, data: parseJson('9223372036854775807'), id });
      if (n === 3) set.delete('1'.repeat(32) as ManifestId);
      if (n < compactionContents - 1) save(set, store);
    }
    assert.equal(store.size, compactionContents - 1);
    save(set, store);
    assert.equal(store.size, 1);
    const entries = decodeManifestContent([...store.values()][0]!);
    assert.equal(entries.length, compactionContents - 1);
    assert.ok(entries.every((entry) => !entry.deleted && entry.data === '9223372036854775807'));
  });
});
