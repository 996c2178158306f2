/**
 * A content that is marked deleted can be read as long as it is there, and a snapshot may need it. Verifying passed such
 * contents over, and packs that held nothing else could not be missing.
 */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import type { IndexEntry } from '../../src/repository/index/index-entry.ts';
import {
  backupFile,
  createEngine,
  deleteSnapshots,
  problemsOf,
  withRepository,
  type Engine,
} from '../support/engine.ts';
import { memoryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { writeVolume } from '../support/volume-model.ts';

const signal = AbortSignal.timeout(300_000);
const mib = 1024 * 1024;

interface World extends AsyncDisposable {
  readonly engine: Engine;
  readonly snapshot: string;
  /** All chunks of the only snapshot. */
  readonly chunks: readonly IndexEntry[];
}

/** A repository whose chunks are all marked deleted, although a snapshot needs them. */
async function makeWorld(): Promise<World> {
  const folder: TemporaryFolder = await memoryFolder('deleted-contents');
  const image = join(folder.path, 'image');
  await writeVolume(image, {
    sizeBytes: 3 * mib,
    pieces: [{ offset: 0, lengthBytes: 3 * mib, kind: 'random', seed: 1 }],
  });
  const engine = await createEngine(folder.path);
  const { snapshot } = await backupFile(engine, image);
  const chunks = await withRepository(engine, async (repository) => {
    const entries = [...repository.index.entries({ prefix: '' })];
    await using writer = await repository.writer({ userName: 'tester', host: 'here' }, { signal });
    for (const { contentId } of entries) writer.delete(contentId);
    await writer.finish();
    return entries;
  });
  return { engine, snapshot, chunks, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

async function flip({ path }: Engine, { packBlob, packOffset }: IndexEntry): Promise<void> {
  const file = join(path, packBlob.slice(0, 1), packBlob.slice(1, 4), `${packBlob.slice(4)}.f`);
  await using pack = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await pack.read(byte, 0, 1, packOffset + 20);
  await pack.write(Buffer.from([byte[0]! ^ 1]), 0, 1, packOffset + 20);
}

async function removePacks(engine: Engine, chunks: readonly IndexEntry[]): Promise<void> {
  await withRepository(engine, async ({ store }) => {
    for (const { packBlob } of chunks) await store.remove(packBlob, { signal });
  });
}

describe('contents that are marked deleted', () => {
  test('are whole as long as they can be read', async () => {
    await using world = await makeWorld();
    assert.deepEqual(await problemsOf(world.engine), []);
  });

  test('are damage of the snapshot that needs them, and of nothing else', async () => {
    await using world = await makeWorld();
    await flip(world.engine, world.chunks[0]!);
    const problems = await problemsOf(world.engine);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0]!, new RegExp(`^${world.snapshot} at \\d+: .*${world.chunks[0]!.contentId}`));
  });

  test('are no damage when no snapshot needs them', async () => {
    await using world = await makeWorld();
    await deleteSnapshots(world.engine, [world.snapshot]);
    await flip(world.engine, world.chunks[0]!);
    assert.deepEqual(await problemsOf(world.engine), []);
    await removePacks(world.engine, world.chunks);
    assert.deepEqual(await problemsOf(world.engine), []);
  });

  test('may not be missing while a snapshot needs them', async () => {
    await using world = await makeWorld();
    await removePacks(world.engine, world.chunks);
    const problems = await problemsOf(world.engine);
    assert.ok(problems.length > 0);
    for (const problem of problems)
      assert.match(problem, new RegExp(`^${world.snapshot} at \\d+: pack p.* is missing`));
  });
});
