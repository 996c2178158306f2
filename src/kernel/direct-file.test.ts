import assert from 'node:assert/strict';
import { constants, fstatSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { nextTurn } from '../std/next-turn.ts';
import { seededRng } from '../std/rng.ts';
import { AlignedMemory } from './aligned-memory.ts';
import { DirectFile } from './direct-file.ts';
import { cachedBytes, dropCached } from './page-cache.ts';

const wholeFile = { offset: 0, lengthBytes: 0 };
const flags = constants.O_RDWR | constants.O_CREAT;

async function folder(): Promise<AsyncDisposable & { readonly file: string }> {
  const path = await mkdtemp(join(tmpdir(), 'dray-direct-'));
  return { file: join(path, 'file'), [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

describe('a direct file', () => {
  test('stays direct over ragged pieces: their ends alone go through the cache', async (context) => {
    await using place = await folder();
    await using file = await DirectFile.open(place.file, { flags, direct: true });
    if (!file.direct) return context.skip('the file system refuses O_DIRECT');
    const bytes = AlignedMemory.allocate({ slotBytes: 65_536, slots: 1 }).slot(0);
    bytes.set(seededRng(1).bytes(65_536));
    await file.write(bytes.subarray(0, 10_000), 0);
    await file.write(bytes.subarray(10_000), 10_000);
    assert.ok(Buffer.from(bytes).equals(await readFile(place.file)));
    const back = AlignedMemory.allocate({ slotBytes: 131_072, slots: 1 }).slot(0);
    assert.equal(await file.read(back, 0), 65_536);
    assert.equal(await file.read(back.subarray(0, 5), 65_530), 5);
    assert.equal(await file.read(back, 65_536), 0);
    assert.equal(file.direct, true);
  });

  test('writes to any position past the cache, from memory that lies as the position does', async (context) => {
    await using place = await folder();
    await using file = await DirectFile.open(place.file, { flags, direct: true });
    const memory = AlignedMemory.allocate({ slotBytes: 2 ** 20 + 8192, slots: 1 }).slot(0);
    memory.set(seededRng(2).bytes(memory.length));
    const position = 3 * 4096 + 777;
    await file.write(memory.subarray(777, 777 + 2 ** 20), position);
    const cached = cachedBytes(file.fd, wholeFile);
    if (!file.direct || cached === undefined) return context.skip('the file system refuses O_DIRECT, or does not tell');
    assert.ok(cached < 2 ** 18, `${cached} bytes went through the cache`);
    const expected = Buffer.concat([Buffer.alloc(position), memory.subarray(777, 777 + 2 ** 20)]);
    assert.ok(expected.equals(await readFile(place.file)));
  });

  test('asks what the cache holds without filling it', async (context) => {
    await using place = await folder();
    await using file = await DirectFile.open(place.file, { flags, direct: true });
    const memory = AlignedMemory.allocate({ slotBytes: 2 ** 20, slots: 1 }).slot(0);
    await file.write(memory, 0);
    await file.sync();
    dropCached(file.fd);
    if (cachedBytes(file.fd, wholeFile) !== 0) return context.skip('the file system keeps its cache, or does not tell');
    assert.equal(file.readCached(memory, 0), false);
    assert.equal(cachedBytes(file.fd, wholeFile), 0);
    await readFile(place.file);
    assert.equal(file.readCached(memory, 0), true);
  });

  test('goes on through the cache when a direct transfer is refused', async () => {
    await using place = await folder();
    const buffered = await open(place.file, 'w+');
    // Takes no number that it cannot parse: an EINVAL that can be had everywhere.
    const refusing = await open('/proc/self/oom_score_adj', 'r+');
    const file = new DirectFile(buffered.fd, refusing.fd);
    const bytes = AlignedMemory.allocate({ slotBytes: 4096, slots: 1 }).slot(0).fill(0x78);
    await file.write(bytes, 0);
    assert.equal(file.direct, false);
    assert.equal(await readFile(place.file, 'utf8'), 'x'.repeat(4096));
    await buffered.close();
    await refusing.close();
  });

  test('is not closed under those who use it', async () => {
    await using place = await folder();
    const file = await DirectFile.open(place.file, { flags, direct: true });
    const held = file.hold();
    let closed = false;
    const closing = file[Symbol.asyncDispose]().then(() => (closed = true));
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
    assert.equal(closed, false);
    assert.ok(fstatSync(file.fd).isFile());
    assert.throws(() => file.hold(), /closed/);
    held[Symbol.dispose]();
    await closing;
  });
});
