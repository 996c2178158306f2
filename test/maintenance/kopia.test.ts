/**
 * Beside the real kopia. One repository with days behind it, written by both programs and maintained before, is copied; kopia's
 * full maintenance runs on one copy and ours on the other: the same blobs go, the same contents are marked, unmarked, moved
 * and dropped, the same epochs are merged and begun. What kopia wrote it wrote days ago by the clock it is given.
 */
import assert from 'node:assert/strict';
import { cp, mkdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { openBlobStore } from '../../src/blobs/open-blob-store.ts';
import type { ContentId } from '../../src/repository/content/content-id.ts';
import type { IndexEntry } from '../../src/repository/index/index-entry.ts';
import { seededRng, systemRng } from '../../src/std/rng.ts';
import { systemClock } from '../../src/std/clock.ts';
import { blobFiles } from '../fixtures/open-fixture.ts';
import { asOf } from '../peers/kopia-at.ts';
import { findPeer, KopiaClient, requireKopia, whyWithout } from '../peers/peers.ts';
import { runDray, type DrayPlace } from '../support/run-dray.ts';
import { memoryFolder } from '../support/temporary.ts';
import { agedWorld, password, writeFolder, type NextRun } from './aged-world.ts';
import { Checker } from './checker.ts';
import { hourMs, type World, type WorldFormat } from './world.ts';

const signal = AbortSignal.timeout(300_000);
const keeper = { user: 'keeper', host: 'here' };

/** What a maintenance leaves, by what both programs decide alike; names of new blobs are random. */
interface Left {
  /** Blobs of before that are gone. */
  readonly gone: readonly string[];
  /** Whether each content is deleted; those that were dropped are not here. Not manifests: kopia gathers them at any time. */
  readonly deleted: Readonly<Record<string, boolean>>;
  /** Contents that are in another pack than before. */
  readonly moved: readonly ContentId[];
  /** Merged sets, epoch markers and deletion watermarks; without epochs, new compaction logs and cleanup entries. */
  readonly index: readonly string[];
}

const compared = [
  { next: 'rewrite', format: 'epochs' },
  { next: 'remove', format: 'epochs' },
  { next: 'rewrite', format: 'legacy' },
  { next: 'remove', format: 'legacy' },
] as const satisfies readonly { next: NextRun; format: WorldFormat }[];

for (const { next, format } of compared) {
  test(`a full maintenance does what kopia's does (${next}, ${format})`, async (context) => {
    const kopia = await requireKopia(context);
    const clocked = await findPeer('kopia-clock');
    if (kopia === undefined) return;
    if (clocked === undefined) return context.skip((await whyWithout('kopia-clock')) ?? '');
    await using folder = await memoryFolder('maintenance-kopia');
    const template = join(folder.path, 'template');
    const nowMs = systemClock.nowMs();
    await using world = await agedWorld(next, { seed: 51, endMs: nowMs - 60_000, format });
    const { password } = world;
    await writeFolder(world, template);
    await snapshotsOfKopia(clocked, { template, folder: folder.path, atMs: nowMs - 40 * hourMs, password });

    const [theirs, ours] = [join(folder.path, 'theirs'), join(folder.path, 'ours')];
    for (const copy of [theirs, ours]) await cp(template, copy, { recursive: true, preserveTimestamps: true });
    await using client = await connect(kopia, { repository: theirs, password });
    await client.maintenanceFull({ safety: 'full' });
    const place = { repository: ours, cache: join(folder.path, 'cache'), password };
    await maintainOnce(place);
    const before = await lookAt(world, template);
    const done = await left(world, before, ours);
    assert.deepEqual(done, await left(world, before, theirs));
    // Else there was nothing to agree on.
    const marked = Object.values(done.deleted).filter(Boolean).length;
    assert.ok(marked > 5 && done.gone.length > 20, `${marked} marked, ${done.gone.length} gone`);
    if (next === 'rewrite') assert.ok(done.moved.length > 20, `${done.moved.length} moved`);
    else
      assert.ok(
        done.gone.some((name) => /^[pq]/.test(name)),
        'no pack is gone',
      );
    await contentWith(kopia, place);
  });
}

test("kopia's maintenance and ours take turns on one repository", async (context) => {
  const kopia = await requireKopia(context);
  if (kopia === undefined) return;
  await using folder = await memoryFolder('maintenance-turns');
  const place = { repository: join(folder.path, 'repository'), cache: join(folder.path, 'cache'), password };
  await using world = await agedWorld('rewrite', { seed: 52, endMs: systemClock.nowMs() - 60_000 });
  await writeFolder(world, place.repository);
  await using client = await connect(kopia, place);
  for (let round = 0; round < 3; round++) {
    await maintainOnce(place);
    await client.maintenanceFull({ safety: 'full' });
    await age(place.repository, 7 * 3600);
  }
  const { stdout } = await client.run(['maintenance', 'info', '--json']);
  const { runs } = (
    JSON.parse(stdout) as { schedule: { runs: Record<string, readonly { success?: boolean; extra?: unknown }[]> } }
  ).schedule;
  const collections = runs['snapshot-gc'] ?? [];
  assert.ok(collections.length > 6 && collections.every(({ success }) => success));
  await contentWith(kopia, place);
});

test('kopia owns the maintenance when dray gives it away, and the other way round', async (context) => {
  const kopia = await requireKopia(context);
  if (kopia === undefined) return;
  await using folder = await memoryFolder('maintenance-owner');
  const place = { repository: join(folder.path, 'repository'), cache: join(folder.path, 'cache'), password };
  await using client = await KopiaClient.open(kopia, place.repository);
  await client.create(password, [], keeper);
  const maintain = ['repository', 'maintain', '--full', '--identity', 'someone@else'];
  const refused = await runDray(place, maintain);
  assert.equal(refused.exitCode, 5);
  assert.match(refused.stderr, /owned by keeper@here, and this is someone@else/);
  assert.equal(
    (await runDray(place, ['repository', 'maintain', '--owner', 'me', '--identity', 'someone@else'])).exitCode,
    0,
  );
  assert.equal((await runDray(place, maintain)).exitCode, 0);
  await assert.rejects(client.maintenanceFull({ safety: 'full' }), /someone@else/);
  await client.run(['maintenance', 'set', '--owner=me', '--full-interval=36h']);
  assert.equal((await runDray(place, maintain)).exitCode, 5);
  assert.equal((await runDray(place, ['repository', 'maintain', '--owner', 'someone@else'])).exitCode, 0);
  const { stdout } = await client.run(['maintenance', 'info', '--json']);
  const info = JSON.parse(stdout) as { owner: string; full: { interval: number } };
  assert.equal(info.owner, 'someone@else');
  assert.equal(info.full.interval, 36 * 3600 * 1e9, 'what kopia was told stays');
});

test('kopia and dray write into a repository of format version 1, and each maintains it between, in full and quickly', async (context) => {
  const kopia = await requireKopia(context);
  if (kopia === undefined) return;
  await using folder = await memoryFolder('maintenance-old');
  const place = { repository: join(folder.path, 'repository'), cache: join(folder.path, 'cache'), password };
  await using client = await KopiaClient.open(kopia, place.repository, { signal });
  // Without epochs kopia would believe a listing of index blobs for half a minute.
  await client.create(password, ['--format-version=1', '--max-list-cache-duration=0s'], keeper);
  const count = async (prefix: string): Promise<number> => {
    return [...(await blobFiles(place.repository)).keys()].filter((name) => name.startsWith(prefix)).length;
  };
  const source = join(folder.path, 'source');
  await mkdir(source);
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 4; n++) {
      await writeFile(join(source, 'file'), seededRng(round * 8 + n).bytes(10_000));
      await client.run(['snapshot', 'create', source]);
      await dray(place, ['backup', join(source, 'file')]);
    }
    assert.ok((await count('n')) >= 8);
    // Ours, and kopia's behind it, which finds what we have merged; then the other way round.
    const turns = [
      async () => await maintainOnce(place, '--quick'),
      async () => void (await client.maintenanceQuick()),
    ];
    if (round === 1) turns.reverse();
    for (const turn of turns) await turn();
    assert.ok((await count('m')) >= 1);
    await client.verify();
    await dray(place, ['repository', 'verify', '--level', 'data']);
    await maintainOnce(place);
    await client.maintenanceFull({ safety: 'full' });
    await age(place.repository, 2 * 3600);
  }
  const before = await count('n');
  await maintainOnce(place, '--quick');
  assert.ok((await count('n')) < before, 'what was merged is gone');
  const { stdout } = await client.run(['index', 'list', '--json']);
  const active = (JSON.parse(stdout) as readonly unknown[]).length;
  assert.ok(active < 8, `${active} index blobs count`);
  await contentWith(kopia, place);
  assert.equal((await client.snapshotList()).length, 16);
});

async function connect(
  kopia: string,
  { repository, password }: Pick<DrayPlace, 'repository' | 'password'>,
): Promise<KopiaClient> {
  const client = await KopiaClient.open(kopia, repository, { signal });
  await client.connect(password, keeper);
  return client;
}

async function maintainOnce(place: DrayPlace, mode: '--full' | '--quick' = '--full'): Promise<void> {
  await dray(place, ['repository', 'maintain', mode]);
}

async function dray(place: DrayPlace, args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runDray(place, [...args, '--identity', 'keeper@here']);
  assert.equal(exitCode, 0, stderr);
}

/** As if all blobs had been put so much earlier. */
async function age(repository: string, seconds: number): Promise<void> {
  for (const [, path] of await blobFiles(repository)) {
    const putSeconds = (await stat(path)).mtimeMs / 1000;
    await utimes(path, putSeconds - seconds, putSeconds - seconds);
  }
}

/** Two snapshots of a folder, the first deleted again, as of days ago; every blob that kopia puts gets that time. */
async function snapshotsOfKopia(
  program: string,
  {
    template,
    folder,
    atMs,
    password,
  }: { readonly template: string; readonly folder: string; readonly atMs: number; readonly password: string },
): Promise<void> {
  const source = join(folder, 'source');
  await mkdir(source);
  for (let n = 0; n < 6; n++) await writeFile(join(source, `file-${n}`), seededRng(n).bytes(30_000 + n));
  const writer = { user: 'writer', host: 'there' };
  await asOf({ program, repository: template, password, identity: writer, atMs, signal }, async (client) => {
    await client.run(['snapshot', 'create', source]);
    const [first] = (await client.snapshotList()).filter(({ source: { userName } }) => userName === 'writer');
    await writeFile(join(source, 'file-0'), seededRng(100).bytes(30_000));
    await client.run(['snapshot', 'create', source]);
    await client.run(['snapshot', 'delete', first!.id, '--delete']);
  });
}

interface Looked {
  readonly blobs: ReadonlySet<string>;
  readonly entries: ReadonlyMap<ContentId, IndexEntry>;
}

async function lookAt({ opened }: World, path: string): Promise<Looked> {
  const location = { kind: 'directory', path } as const;
  await using store = await openBlobStore(location, { signal, clock: systemClock, rng: systemRng });
  const checker = new Checker(store, opened.format);
  await checker.check();
  return { blobs: new Set((await blobFiles(path)).keys()), entries: await checker.entries() };
}

async function left(world: World, before: Looked, path: string): Promise<Left> {
  const { blobs, entries } = await lookAt(world, path);
  const data = [...entries].filter(([id]) => !id.startsWith('m')).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const index = [...blobs]
    .filter((name) => /^x[erws]/.test(name) || (/^[ml]/.test(name) && !before.blobs.has(name)))
    .map((name) => name.replace(/_[0-9a-f]{32,}-.*/, '_').replace(/^([ml])[0-9a-f]{32}$/, '$1'));
  return {
    gone: [...before.blobs].filter((name) => !blobs.has(name)).toSorted(),
    deleted: Object.fromEntries(data.map(([id, { deleted }]) => [id, deleted])),
    moved: data.filter(([id, { packBlob }]) => packBlob !== before.entries.get(id)?.packBlob).map(([id]) => id),
    index: index.toSorted(),
  };
}

/** The real kopia and our own verification find nothing wrong, and kopia's maintenance goes on from there. */
async function contentWith(kopia: string, place: DrayPlace): Promise<void> {
  await using client = await connect(kopia, place);
  await client.verify();
  await client.contentVerify();
  await client.maintenanceFull({ safety: 'full' });
  await client.verify();
  const { exitCode, stdout } = await runDray(place, ['repository', 'verify', '--level', 'data']);
  assert.equal(exitCode, 0, stdout);
}
