/** Restores of files that are killed, or find something changed, and are run again. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { encodeIndirect } from '../../src/repository/object/indirect.ts';
import { directObjectId, indirectObjectId, objectId } from '../../src/repository/object/object-id.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { seededRng } from '../../src/std/rng.ts';
import { setTimes } from '../../src/kernel/folder-calls.ts';
import { fileTime } from '../../src/volume/file-attributes.ts';
import { createEngine, type Engine } from '../support/engine.ts';
import { drayJson, type DrayPlace } from '../support/run-dray.ts';
import { runAndKill } from '../support/run-and-kill.ts';
import { memoryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { readDisk } from './read-disk.ts';
import { entry, file, folder, linkTo, putTree, restoreTree, type TreeRestored, type Writer } from './tree-engine.ts';

const mib = 1024 * 1024;
const largeBytes = 160 * mib;
const points = 6;
/** A record comes after 64 MiB; the workers hold some tasks of 4 MiB. */
const againBytesMax = 64 * mib + 2 * 4 * 3 * 4 * mib;

async function large(writer: Writer, name: string, seed: number): Promise<ReturnType<typeof entry>> {
  const rng = seededRng(seed);
  const list: Parameters<typeof encodeIndirect>[0][number][] = [];
  for (let offset = 0; offset < largeBytes; offset += 4 * mib) {
    const object = directObjectId(await writer.write('', rng.bytes(4 * mib)));
    list.push({ offset, lengthBytes: 4 * mib, objectId: object });
  }
  const object = indirectObjectId(directObjectId(await writer.write('x', encodeIndirect(list))));
  return entry(name, object, { sizeBytes: largeBytes });
}

describe('a restore of files that is run again', () => {
  let place: TemporaryFolder;
  let engine: Engine;
  let dray: DrayPlace;
  let snapshot = '';
  let wanted: Awaited<ReturnType<typeof readDisk>>;
  let runBytes = 0;

  before(async () => {
    place = await memoryFolder('resume');
    engine = await createEngine(place.path);
    dray = { repository: engine.path, cache: engine.cache, password: 'password' };
    snapshot = await putTree(engine, async (writer) => {
      const folders = [];
      for (let number = 0; number < 20; number++) {
        const files = [await linkTo(writer, 'link', `../${number}`)];
        for (let one = 0; one < 100; one++) files.push(await file(writer, `f${one}`, `${number}-${one}`.repeat(300)));
        folders.push(await folder(writer, `d${number}`, files));
      }
      return [
        await large(writer, 'a-large', 1),
        ...folders,
        await folder(writer, 'z', [await large(writer, 'large', 2)]),
      ];
    });
    const whole = join(place.path, 'whole');
    await restoreTree(engine, snapshot, whole);
    wanted = await readDisk(whole);
    runBytes = [...wanted.values()].reduce((sum, { size = 0 }) => sum + size, 0);
    await rm(whole, { recursive: true });
  });
  after(async () => await place[Symbol.asyncDispose]());

  for (let seed = 1; seed <= points; seed++) {
    test(`after kill -9 ends with the same tree, and goes on where it was (seed ${seed})`, async (context) => {
      const rng = seededRng(seed);
      const target = join(place.path, `target-${seed}`);
      const how = seed % 3 === 0 ? ['--overwrite'] : [];
      if (how.length > 0) {
        await restoreTree(engine, await putTree(engine, other), target);
      }
      const args = ['restore', snapshot, target, ...how];
      // Among the small files, between the large ones, or anywhere.
      const [from, span] = seed % 2 === 0 ? [largeBytes, runBytes - 2 * largeBytes] : [0, runBytes];
      const fromBytes = Math.floor(from + rng.uniform() * span);
      const point = { args, counter: 'wchar', fromBytes, pauseMs: 0 } as const;
      const { killed, countedBytes } = await runAndKill(dray, point);
      // When the kill came too late the tree is there, and is only compared.
      const next = await drayJson<Again>(dray, killed ? args : ['restore', snapshot, target, '--overwrite']);
      assert.deepEqual(await readDisk(target), wanted);
      const states = await readdir(join(engine.cache, 'restores'));
      assert.deepEqual(
        states.filter((name) => name.endsWith('.json')),
        [],
      );
      const againBytes = countedBytes + next.writtenBytes - runBytes;
      context.diagnostic(JSON.stringify({ killed, countedBytes, resumed: next.resumed, kept: next.kept, againBytes }));
      if (killed) assert.ok(againBytes <= againBytesMax, `${againBytes} bytes were written again`);
      await rm(target, { recursive: true });
    });
  }

  /** As `restoreTree` of something that leaves out an entry, with the state that it had before its end. */
  async function interrupted(id: string, target: string): Promise<TreeRestored> {
    const states = join(engine.cache, 'restores');
    const kept = new Map<string, Buffer>();
    const onOmission = (): void => {
      for (const name of readdirSync(states)) kept.set(name, readFileSync(join(states, name)));
    };
    const restored = await restoreTree(engine, id, target, { onOmission });
    for (const [name, state] of kept) await writeFile(join(states, name), state);
    return restored;
  }

  test('that has left something out is over: what is there then is written over only when that is asked for', async () => {
    const missing = entry('missing', objectId('00'.repeat(32)), { sizeBytes: 4 });
    const id = await putTree(engine, async (writer) => [await file(writer, 'small', 'small file'), missing]);
    const target = join(place.path, 'left-out');
    assert.equal((await restoreTree(engine, id, target)).counts.omitted, 1);
    await writeFile(join(target, 'small'), 'edited');
    await assert.rejects(restoreTree(engine, id, target), (error) => hasCode(error, 'volume-exists'));
    assert.equal(await readFile(join(target, 'small'), 'utf8'), 'edited');
    await restoreTree(engine, id, target, { overwrite: true });
    assert.equal(await readFile(join(target, 'small'), 'utf8'), 'small file');
  });

  test('believes size and time of what it made in this boot of the system, and reads everything in another', async () => {
    const missing = objectId('00'.repeat(32));
    const id = await putTree(engine, async (writer) => [
      await folder(writer, 'd', [await file(writer, 'small', 'small file'), await large(writer, 'large', 3)]),
      entry('missing', missing, { sizeBytes: 4 }),
    ]);
    const target = join(place.path, 'boots');
    assert.equal((await interrupted(id, target)).counts.omitted, 1);
    const whole = await readDisk(target);
    /** As after a crash of the machine: the names, sizes and times are there, the bytes are not. */
    const lose = async (): Promise<void> => {
      for (const path of ['d/small', 'd/large']) {
        const { size = 0 } = whole.get(path)!;
        await writeFile(join(target, path), Buffer.alloc(size));
        await using opened = await open(join(target, path), 'r+');
        setTimes(opened.fd, fileTime(BigInt(whole.get(path)!.mtimeNs!)));
      }
    };
    await lose();
    const trusting = await interrupted(id, target);
    assert.deepEqual([trusting.resumed, trusting.counts.kept, trusting.counts.writtenBytes], [true, 2, 0]);
    const states = await readdir(join(engine.cache, 'restores'));
    const state = states.find((name) => name.endsWith('.json'));
    const statePath = join(engine.cache, 'restores', state!);
    const { boot: _, ...rest } = JSON.parse(await readFile(statePath, 'utf8')) as Record<string, unknown>;
    await writeFile(statePath, JSON.stringify({ ...rest, boot: 'another' }));
    const reading = await interrupted(id, target);
    assert.equal(reading.counts.kept, 0);
    assert.deepEqual(await readDisk(target), whole);
    const again = await interrupted(id, target);
    assert.equal(again.counts.writtenBytes, 0);
    // What was not compared to its end in this boot is not believed.
    assert.equal((JSON.parse(await readFile(statePath, 'utf8')) as { boot: string }).boot, '');
    await rm(target, { recursive: true });
    await rm(statePath);
  });
});

interface Again {
  readonly resumed: boolean;
  readonly kept: number;
  readonly writtenBytes: number;
}

/** What stands where the tree is to go, and stays beside it no longer than its names are not taken. */
async function other(writer: Writer): Promise<readonly ReturnType<typeof entry>[]> {
  const files = [await file(writer, 'f1', 'something else'), await linkTo(writer, 'f2', '/nowhere')];
  return [
    await file(writer, 'a-large', 'small'),
    await linkTo(writer, 'd3', '/nowhere'),
    await folder(writer, 'd1', files),
  ];
}
