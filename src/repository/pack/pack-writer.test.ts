import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { BlobError } from '../../blobs/blob-store.ts';
import { MemoryStore } from '../../blobs/memory-store.ts';
import { FaultStore } from '../../blobs/fault.ts';
import { systemClock } from '../../std/clock.ts';
import { systemRng } from '../../std/rng.ts';
import { ContentCodec } from '../content/content-codec.ts';
import { readLocalIndex } from '../content/pack-format.ts';
import { testFormat } from '../format/format-fixtures.ts';
import type { IndexEntry } from '../index/index-entry.ts';
import { IndexTable } from '../index/index-table.ts';
import { PackWriter } from './pack-writer.ts';

const signal = new AbortController().signal;
const kib = 1024;
const format = testFormat;
const codec = new ContentCodec(format);

function writer(store: MemoryStore | FaultStore, packs: (readonly IndexEntry[])[]): PackWriter {
  return new PackWriter(
    { codec, store, clock: systemClock, rng: systemRng },
    {
      kind: 'p',
      format: { ...format, maxPackSizeBytes: 200 * kib },
      sessionId: 's0000000000000001100',
      bufferBytes: 64 * kib,
      buffers: 2,
      committingMax: 2,
      onPack: (entries) => packs.push(entries),
      signal,
    },
  );
}

async function addOne(pack: PackWriter): Promise<void> {
  const plain = randomBytes(1000);
  await pack.add(codec.idOf(plain, ''), plain, 'none');
}

test('pack writer > every content can be read back from where its entry says, whatever its size', async () => {
  await using store = new MemoryStore({ clock: systemClock });
  const packs: (readonly IndexEntry[])[] = [];
  const plains = [1, 0, 100, 70 * kib, 300 * kib, 5, 64 * kib, 63 * kib, 4096].map((size) => randomBytes(size));
  {
    await using pack = writer(store, packs);
    for (const plain of plains) await pack.add(codec.idOf(plain, ''), plain, 'zstd-fastest');
    await pack.seal();
  }
  const entries = new Map(packs.flat().map((entry) => [entry.contentId, entry]));
  for (const plain of plains) {
    const entry = entries.get(codec.idOf(plain, ''))!;
    const range = { offset: entry.packOffset, lengthBytes: entry.packedLength };
    const sealed = await store.get(entry.packBlob, { range, signal });
    assert.deepEqual(Buffer.from(codec.open(entry, sealed, { verify: true })), plain);
  }
  for (const inPack of packs) {
    const local = readLocalIndex(await store.get(inPack[0]!.packBlob, { signal }), codec);
    const found = [...IndexTable.inMemory(local.plain).entries()].map(({ contentId }) => contentId);
    assert.deepEqual(found, inPack.map(({ contentId }) => contentId).toSorted());
  }
});

test('pack writer > reports a pack only when it is in the store, and names it after its session', async () => {
  await using store = new MemoryStore({ clock: systemClock });
  const packs: (readonly IndexEntry[])[] = [];
  await using pack = writer(store, packs);
  await addOne(pack);
  assert.equal(packs.length, 0);
  assert.equal((await Array.fromAsync(store.list('p', { signal }))).length, 0);
  await pack.seal();
  await addOne(pack);
  await pack.seal();
  const names = packs.map(([entry]) => entry!.packBlob.split('-')[1]);
  assert.deepEqual(names, ['s0000000000000001100', 's0000000000000001100']);
});

test('pack writer > a store that fails ends every later call, also one that waits for a buffer, and leaves nothing', async () => {
  for (const operation of ['upload', 'write', 'commit'] as const) {
    await using memory = new MemoryStore({ clock: systemClock });
    const fault = { kind: 'fail', code: 'blob-denied' } as const;
    const rules = [{ operations: [operation], when: { from: 1 }, fault }];
    await using store = new FaultStore({ store: memory, clock: systemClock }, { seed: 1, rules });
    const packs: (readonly IndexEntry[])[] = [];
    await using pack = writer(store, packs);
    const all = (async () => {
      for (let n = 0; n < 50; n++) {
        const plain = randomBytes(30 * kib);
        await pack.add(codec.idOf(plain, ''), plain, 'none');
      }
      await pack.seal();
    })();
    await assert.rejects(all, (error) => error instanceof BlobError, operation);
    assert.equal(packs.length, 0);
    assert.equal((await Array.fromAsync(memory.list('', { signal }))).length, 0);
  }
});

test('pack writer > what was cut becomes durable while the next pack is filled', async () => {
  await using store = new MemoryStore({ clock: systemClock });
  const packs: (readonly IndexEntry[])[] = [];
  await using pack = writer(store, packs);
  await addOne(pack);
  const { durable } = await pack.cut();
  await addOne(pack);
  await durable;
  assert.deepEqual(
    packs.map((entries) => entries.length),
    [1],
  );
  await pack.seal();
  assert.deepEqual(
    packs.map((entries) => entries.length),
    [1, 1],
  );
});
