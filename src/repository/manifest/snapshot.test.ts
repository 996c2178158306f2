import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import { formatGoTime, parseGoTime } from '../../std/go-time.ts';
import { parseJson } from '../../std/lossless-json.ts';
import { stringifyJson } from '../../std/write-json.ts';
import { seededRng } from '../../std/rng.ts';
import { objectId } from '../object/object-id.ts';
import { decodeVolumeTags, encodeVolumeTags } from '../tree/volume-tags.ts';
import { decodeDirectory, encodeDirectory } from './directory.ts';
import { checkpointName, imageDirectory, imageOf, rootEntry, safeName } from './image-directory.ts';
import type { ManifestEntry, ManifestId } from './manifest-codec.ts';
import { ManifestSet } from './manifest-set.ts';
import { decodeSnapshot, encodeSnapshot, listSnapshots, resolveSnapshot, withPins } from './snapshot.ts';
import type { SnapshotFacts } from './snapshot.ts';
import { formatSource, parseSource } from './snapshot-source.ts';

/** Written by Velero's layout through Kopia's library (fixture `velero-block`). */
const veleroDirectory =
  '{"stream":"kopia:directory","entries":[{"name":"snapshot-data-upload-download-velero-block-app-namespace-disk-pvc",' +
  '"type":"f","mode":"0777","size":67108864,"mtime":"1754-08-30T22:43:41.128654848Z",' +
  '"obj":"Ix8c18efa4c7b757cfaaa025beb618eb9c"}],"summary":null}\n';
const veleroSnapshot =
  '{"id":"","source":{"host":"default","userName":"default","path":"snapshot-data-upload-download/velero-block/app-namespace/disk-pvc"},' +
  '"description":"Block Uploader","startTime":"2026-11-21T02:01:51.143003915Z","endTime":"2026-11-21T02:01:51.15228638Z",' +
  '"stats":{"totalSize":67108864,"excludedTotalSize":0,"fileCount":0,"cachedFiles":0,"nonCachedFiles":0,"dirCount":0,' +
  '"excludedFileCount":0,"excludedDirCount":0,"ignoredErrorCount":0,"errorCount":0},' +
  '"rootEntry":{"type":"d","mode":"0777","mtime":"1754-08-30T22:43:41.128654848Z","obj":"k7cf8fd7bee5abe7a71c66d7eb7dbc295",' +
  '"summ":{"size":67108864,"files":0,"symlinks":0,"dirs":0,"maxTime":"1970-01-01T00:00:00Z","numFailed":0}},' +
  '"tags":{"bdev-source-size":"67108863","cbt-change-id":"change-2","cbt-volume-id":"volume-7"},"pins":["velero-pin"]}';
/** A directory of kopia 0.23.1 with a folder, a file, a link and characters that Go escapes. */
const kopiaDirectory =
  '{"stream":"kopia:directory","entries":[{"name":"a","type":"d","mode":"0755","mtime":"2024-04-18T00:07:48.82824763Z",' +
  '"obj":"kba53f126c9182c44575d2bd2233f09e7","summ":{"size":40960,"files":2,"symlinks":0,"dirs":1,' +
  '"maxTime":"2023-12-11T18:51:11.408993341Z","numFailed":0}},' +
  '{"name":"\\u003ca\\u0026b\\u003e\\u2028","type":"f","mode":"04000777","size":580,"mtime":"2023-12-05T15:52:44.372676994Z",' +
  '"uid":1000,"gid":100,"obj":"108caa7236e0aa9dc54fb6842fce0a81"}],' +
  '"summary":{"size":41540,"files":3,"symlinks":0,"dirs":2,"maxTime":"2024-04-18T00:07:48.82824763Z","incomplete":"limit reached","numFailed":0}}\n';

const isCorrupt = (error: unknown): boolean => hasCode(error, 'corrupt');
const time = parseGoTime('2026-01-02T03:04:05.000000006Z')!;
const parts = {
  clock: { nowMs: () => 1_000, monotonicMs: () => 0, sleep: async () => {} },
  rng: seededRng(7),
};

function entryOf(data: string, id = 'ab'.repeat(16)): ManifestEntry {
  return { id: id as ManifestId, labels: { type: 'snapshot' }, modified: 1n, deleted: false, data };
}

function facts(more: Partial<SnapshotFacts> = {}): SnapshotFacts {
  const directory = imageDirectory({ name: '/data/disk.img', object: objectId('Ixaa'), sizeBytes: 5, modified: time });
  return {
    source: { userName: 'u', host: 'h', path: '/data/disk.img' },
    description: '',
    startTime: time,
    endTime: time + 1n,
    stats: { totalSizeBytes: 5, files: 1, cachedFiles: 0, dirs: 1, errors: 0 },
    rootEntry: rootEntry('disk.img', objectId('kaa'), { summary: directory.summary, modified: time }),
    tags: {},
    pins: [],
    ...more,
  };
}

describe('directory', () => {
  test('is read and printed exactly as kopia prints it', () => {
    for (const text of [veleroDirectory, kopiaDirectory]) {
      assert.equal(Buffer.from(encodeDirectory(decodeDirectory(Buffer.from(text)))).toString(), text);
    }
    const empty = '{"stream":"kopia:directory","entries":null,"summary":null}\n';
    assert.equal(Buffer.from(encodeDirectory(decodeDirectory(Buffer.from(empty)))).toString(), empty);
    assert.equal(decodeDirectory(Buffer.from(kopiaDirectory)).entries[1]!.mode, (1 << 20) | 0o777);
  });

  test('sorts folders first, then by the bytes of names', () => {
    const file = decodeDirectory(Buffer.from(veleroDirectory)).entries[0]!;
    const names = ['b', 'a', 'B', '\u{1F600}', '\uFFEE'];
    const entries = names.map((name) => ({ ...file, name, type: name === 'b' ? 'd' : 'f' }));
    const sorted = decodeDirectory(encodeDirectory({ entries })).entries.map((entry) => entry.name);
    assert.deepEqual(sorted, ['b', 'B', 'a', '\uFFEE', '\u{1F600}']);
  });

  test('answers anything else with corrupt', () => {
    const list = (entry: string): Buffer => Buffer.from(`{"stream":"kopia:directory","entries":[${entry}]}`);
    for (const text of [
      '',
      '{}',
      '[]',
      '{"stream":"kopia:indirect","entries":[]}',
      '{"stream":"kopia:directory","entries":{}}',
    ]) {
      assert.throws(() => decodeDirectory(Buffer.from(text)), isCorrupt, text);
    }
    for (const entry of [
      'null',
      '1',
      '{"name":"a"}',
      '{"obj":"zz"}',
      '{"obj":"aa","mode":"x"}',
      '{"obj":"aa","size":1.5}',
      '{"obj":"aa","size":9223372036854775807}',
      '{"obj":"aa","mtime":"now"}',
    ]) {
      assert.throws(() => decodeDirectory(list(entry)), isCorrupt, entry);
    }
    fc.assert(
      fc.property(fc.nat(kopiaDirectory.length - 1), fc.nat(255), (at, byte) => {
        const bytes = Buffer.from(kopiaDirectory);
        bytes[at] = byte;
        try {
          decodeDirectory(bytes);
        } catch (error) {
          assert.ok(isCorrupt(error), String(error));
        }
      }),
    );
  });
});

describe('image directory', () => {
  test('holds one file, and while unfinished the record beside it', () => {
    const image = { name: '/dev/mapper/data', object: objectId('IIxaa'), sizeBytes: 7, modified: time };
    const whole = decodeDirectory(imageDirectory(image).bytes);
    assert.equal(imageOf(whole, 'x').image.name, 'data');
    assert.equal(imageOf(whole, 'x').checkpoint, undefined);
    const unfinished = decodeDirectory(imageDirectory(image, { object: objectId('bb'), sizeBytes: 3 }).bytes);
    assert.equal(imageOf(unfinished, 'x').image.object, 'IIxaa');
    assert.equal(imageOf(unfinished, 'x').checkpoint!.name, checkpointName);
    assert.equal(unfinished.summary!.sizeBytes, 10);
    assert.throws(
      () => imageOf(decodeDirectory(Buffer.from(kopiaDirectory)), 'x'),
      (error) => hasCode(error, 'unsupported'),
    );
  });

  test('never takes a path, a dot or nothing for a name', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(fc.constantFrom('/', '.', '..', '\\', 'a', '\0', checkpointName)).map((all) => all.join('')),
        ),
        (path) => {
          const name = safeName(path);
          assert.ok(name !== '' && name !== '.' && name !== '..' && name !== checkpointName);
          assert.doesNotMatch(name, /[/\\]/);
        },
      ),
    );
    assert.equal(safeName('/dev/nvme0n1'), 'nvme0n1');
  });
});

describe('snapshot', () => {
  test('reads and prints a manifest as kopia prints it', () => {
    const snapshot = decodeSnapshot(entryOf(veleroSnapshot));
    assert.equal(stringifyJson(encodeSnapshot(snapshot).data), veleroSnapshot);
    assert.equal(decodeVolumeTags(snapshot.tags).sizeBytes, 67_108_863);
    assert.equal(decodeVolumeTags(snapshot.tags).layout, undefined);
  });

  test('comes back as it was written, with its tags as labels', () => {
    const tags = {
      ...encodeVolumeTags({ layout: 'tree-1', sizeBytes: 5, rung: 'scan', reason: 'first' }),
      'tag:a': 'b',
      __proto__x: 'y',
    };
    const written = facts({ tags, pins: ['keep'], incomplete: 'checkpoint' });
    const { labels, data } = encodeSnapshot(written);
    assert.equal(labels['tag:a'], 'b');
    assert.equal(labels['dray:layout'], 'tree-1');
    const { id, modified, ...read } = decodeSnapshot({ ...entryOf(stringifyJson(data)), labels });
    assert.deepEqual(
      { ...read },
      { ...written, rootEntry: { ...written.rootEntry, summary: written.rootEntry.summary } },
    );
    assert.equal(`${id}${modified}`, `${'ab'.repeat(16)}1`);
    assert.equal(decodeVolumeTags(read.tags).rung, 'scan');
    assert.throws(() => encodeSnapshot(facts({ tags: { path: 'x' } })), /cannot have a tag path/);
  });

  test('changes nothing but the pins of what others wrote', () => {
    const text = veleroSnapshot.replace('"id":""', '"id":"","future":{"n":9223372036854775807}');
    const unpinned = withPins(entryOf(text), []);
    assert.equal(stringifyJson(unpinned.data), text.replace(',"pins":["velero-pin"]', ''));
    assert.equal(
      stringifyJson(withPins(entryOf(text), ['b', 'a', 'b']).data),
      text.replace('["velero-pin"]', '["a","b"]'),
    );
  });

  test('is listed by source and start, and a damaged one hides no other', () => {
    const set = new ManifestSet(parts);
    set.put(encodeSnapshot(facts({ startTime: time + 5n })));
    set.put(encodeSnapshot(facts({ startTime: time })));
    set.put(encodeSnapshot(facts({ source: { userName: 'u', host: 'h', path: '/other' } })));
    const bad = set.put({
      labels: { type: 'snapshot', hostname: 'h', username: 'u', path: '/data/disk.img' },
      data: parseJson('{"source":{}}'),
    });
    const { snapshots, damaged } = listSnapshots(set, facts().source);
    assert.deepEqual(
      snapshots.map((item) => formatGoTime(item.startTime)),
      [formatGoTime(time), formatGoTime(time + 5n)],
    );
    assert.deepEqual(
      damaged.map((item) => item.id),
      [bad],
    );
    assert.equal(listSnapshots(set).snapshots.length, 3);
  });

  test('is found by a unique beginning of its id; an incomplete one does not stand in the way', () => {
    const set = new ManifestSet(parts);
    const { labels, data } = encodeSnapshot(facts());
    const unfinished = encodeSnapshot(facts({ incomplete: 'checkpoint' }));
    for (const id of ['aa11', 'aa22', 'bb']) set.put({ labels, data, id: id as ManifestId });
    set.put({ ...unfinished, id: 'bbcc' as ManifestId });
    set.put({ ...unfinished, id: 'dd' as ManifestId });
    assert.equal(resolveSnapshot(set, 'AA1').id, 'aa11');
    assert.equal(resolveSnapshot(set, 'b').id, 'bb');
    assert.equal(resolveSnapshot(set, 'bbcc').id, 'bbcc');
    assert.equal(resolveSnapshot(set, 'd').id, 'dd');
    assert.throws(
      () => resolveSnapshot(set, 'aa'),
      (error) => hasCode(error, 'snapshot-ambiguous'),
    );
    for (const text of ['cc', '', 'aa111']) {
      assert.throws(
        () => resolveSnapshot(set, text),
        (error) => hasCode(error, 'snapshot-missing'),
      );
    }
  });

  test('answers malformed manifests with corrupt', () => {
    const bad = [
      'null',
      '[]',
      '{}',
      veleroSnapshot.replace('"k7c', '"k7'),
      veleroSnapshot.replace(/"rootEntry":\{.*\}\},/, ''),
      veleroSnapshot.replace('["velero-pin"]', '[1]'),
    ];
    for (const text of bad) assert.throws(() => decodeSnapshot(entryOf(text)), isCorrupt, text);
    fc.assert(
      fc.property(fc.nat(veleroSnapshot.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, character) => {
        try {
          decodeSnapshot(entryOf(veleroSnapshot.slice(0, at) + character + veleroSnapshot.slice(at + 1)));
        } catch (error) {
          assert.ok(isCorrupt(error), String(error));
        }
      }),
    );
  });

  test('belongs to a source that is said as kopia says it', () => {
    const source = { userName: 'a', host: 'b', path: '/c:d@e' };
    assert.equal(formatSource(source), 'a@b:/c:d@e');
    assert.deepEqual(parseSource('a@b:/c:d@e'), source);
    for (const text of ['', 'a@b', 'a@b:', '@b:/c', '/c', 'b:/c']) assert.equal(parseSource(text), undefined);
  });
});
