import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFile, mkdtemp, open, rename, rm, truncate, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AlignedMemory } from '../kernel/aligned-memory.ts';
import { hasCode } from '../std/dray-error.ts';
import { seededRng } from '../std/rng.ts';
import type { BlockSource } from './block-source.ts';
import { extent, extentEnd } from './extent.ts';
import { openSource, reopenSource, sourceInUse } from './file-source.ts';

const signal = AbortSignal.timeout(60_000);
const coded =
  (code: string) =>
  (error: unknown): boolean =>
    hasCode(error, code);

async function folder(): Promise<AsyncDisposable & { file(name: string): string }> {
  const path = await mkdtemp(join(tmpdir(), 'dray-source-'));
  return {
    file: (name) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

async function readAll(source: BlockSource): Promise<Buffer> {
  const bytes = Buffer.alloc(source.sizeBytes);
  await source.read(extent(0, bytes.length), bytes, { signal });
  return bytes;
}

describe('a source', () => {
  test('reads any range of any size, directly and through the cache', async () => {
    await using place = await folder();
    const memory = AlignedMemory.allocate({ slotBytes: 65_536, slots: 1 });
    await fc.assert(
      fc.asyncProperty(
        fc.nat(60_000),
        fc.nat(60_000),
        fc.nat(60_000),
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom(1, 512, 4096),
        async (size, from, length, direct, aligned, unit) => {
          const bytes = seededRng(size).bytes(size);
          await writeFile(place.file('image'), bytes);
          await using source = await openSource(place.file('image'), { signal, pastCache: direct });
          assert.equal(source.sizeBytes, size);
          const offset = Math.min(Math.floor(from / unit) * unit, size);
          const range = extent(offset, Math.min(length, size - offset));
          const into = aligned ? memory.slot(0) : new Uint8Array(range.lengthBytes);
          await source.read(range, into, { signal });
          const read = Buffer.from(into.subarray(0, range.lengthBytes));
          assert.ok(read.equals(Buffer.from(bytes.subarray(offset, extentEnd(range)))));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('may be empty', async () => {
    await using place = await folder();
    await writeFile(place.file('empty'), '');
    await using source = await openSource(place.file('empty'), { signal });
    assert.equal((await readAll(source)).length, 0);
    assert.deepEqual(await Array.fromAsync(source.dataExtents(extent(0, 0), { signal })), []);
  });

  test('names the same data in whatever order and pieces it is asked for', async () => {
    await using place = await folder();
    const blockBytes = 65_536;
    const blocks = 64;
    const block = fc.nat(blocks - 1);
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(block),
        fc.array(fc.tuple(block, block), { minLength: 1 }),
        async (written, asked) => {
          const file = await open(place.file('pieces'), 'w');
          await file.truncate(blocks * blockBytes);
          for (const at of written) await file.write(Buffer.alloc(blockBytes, 1), 0, blockBytes, at * blockBytes);
          await file.close();
          await using source = await openSource(place.file('pieces'), { signal });
          for (const [one, other] of asked) {
            const [first, last] = [Math.min(one, other), Math.max(one, other)];
            const within = extent(first * blockBytes, (last + 1 - first) * blockBytes);
            const named = await Array.fromAsync(source.dataExtents(within, { signal }));
            const found = named.flatMap((range) => {
              const from = range.offset / blockBytes;
              return Array.from({ length: range.lengthBytes / blockBytes }, (_, next) => from + next);
            });
            const wanted = written.filter((at) => at >= first && at <= last).toSorted((a, b) => a - b);
            assert.deepEqual(found, wanted);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('names its data, and the rest are zeros', async () => {
    await using place = await folder();
    const file = await open(place.file('sparse'), 'w');
    await file.truncate(40 * 2 ** 20);
    await file.write(Buffer.alloc(5000, 1), 0, 5000, 8 * 2 ** 20 + 17);
    await file.write(Buffer.alloc(100, 2), 0, 100, 40 * 2 ** 20 - 100);
    await file.close();
    await using source = await openSource(place.file('sparse'), { signal });
    const bytes = await readAll(source);
    const within = extent(8 * 2 ** 20 + 20, 32 * 2 ** 20 - 20);
    let position = Number(within.offset);
    for await (const range of source.dataExtents(within, { signal })) {
      assert.ok(range.offset >= position && extentEnd(range) <= extentEnd(within));
      assert.ok(bytes.subarray(position, range.offset).every((byte) => byte === 0));
      position = extentEnd(range);
    }
    assert.equal(position, extentEnd(within));
    const data = await Array.fromAsync(source.dataExtents(extent(0, source.sizeBytes), { signal }));
    assert.ok(data.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0) < 2 ** 20, 'holes are found');
  });

  test('is opened again from its location', async () => {
    await using place = await folder();
    await writeFile(place.file('image'), 'some data');
    await using source = await openSource(place.file('image'), { signal, pastCache: true });
    await using again = await reopenSource(structuredClone(source.location), { signal });
    assert.equal((await readAll(again)).toString(), 'some data');
    await truncate(place.file('image'), 3);
    await assert.rejects(reopenSource(source.location, { signal }), coded('volume-changed'));
  });

  test('notices that it became shorter, was written, replaced or removed', async () => {
    await using place = await folder();
    await writeFile(place.file('image'), Buffer.alloc(10_000));
    await using source = await openSource(place.file('image'), { signal });
    const before = await source.identity({ signal });
    assert.deepEqual(await source.identity({ signal }), before);
    await appendFile(place.file('image'), 'x');
    assert.notEqual((await source.identity({ signal })).fingerprint, before.fingerprint);
    await truncate(place.file('image'), 5_000);
    await assert.rejects(readAll(source), coded('volume-changed'));
    await writeFile(place.file('other'), Buffer.alloc(10_000));
    await rename(place.file('other'), place.file('image'));
    await assert.rejects(source.identity({ signal }), coded('volume-changed'));
    await unlink(place.file('image'));
    await assert.rejects(source.identity({ signal }), coded('volume-changed'));
  });

  test('refuses what is not there, no volume, or past its end', async () => {
    await using place = await folder();
    await assert.rejects(openSource(place.file('gone'), { signal }), coded('volume-not-found'));
    await assert.rejects(openSource(tmpdir(), { signal }), coded('volume-kind'));
    await assert.rejects(openSource('/dev/zero', { signal }), coded('volume-kind'));
    makePipe(place.file('pipe'));
    await assert.rejects(openSource(place.file('pipe'), { signal }), coded('volume-kind'));
    await writeFile(place.file('image'), 'abc');
    await using source = await openSource(place.file('image'), { signal });
    await assert.rejects(source.read(extent(1, 3), new Uint8Array(3), { signal }), coded('volume-range'));
    await assert.rejects(source.read(extent(0, 3), new Uint8Array(2), { signal }), coded('volume-range'));
    assert.equal(await sourceInUse(place.file('image'), { signal }), undefined);
  });

  test('waits for its reads before it closes', async () => {
    await using place = await folder();
    await writeFile(place.file('image'), Buffer.alloc(8 * 2 ** 20, 7));
    const source = await openSource(place.file('image'), { signal });
    const into = new Uint8Array(8 * 2 ** 20);
    const reading = source.read(extent(0, into.length), into, { signal });
    await source[Symbol.asyncDispose]();
    await reading;
    assert.ok(into.every((byte) => byte === 7));
    await assert.rejects(source.read(extent(0, 1), into, { signal }), coded('volume-io'));
  });
});

/** A named pipe: opened without care it blocks for ever. */
function makePipe(path: string): void {
  const program = 'mkfifo';
  assert.equal(spawnSync(program, [path]).status, 0);
}
