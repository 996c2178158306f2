/** What the tests of repositories without epochs share: who acts, and what the index blobs say. */
import assert from 'node:assert/strict';

import type { BlobId, BlobStore } from '../../src/blobs/blob-store.ts';
import type { MaintenanceResult } from '../../src/maintenance/maintain.ts';
import type { TaskContext } from '../../src/maintenance/task.ts';
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import { IndexTable } from '../../src/repository/index/index-table.ts';
import { Checker } from './checker.ts';
import { backup, identity, maintainWorld, type MaintainOptions, type World } from './world.ts';

const signal = new AbortController().signal;

export async function list(store: BlobStore, prefix: string): Promise<BlobId[]> {
  return (await Array.fromAsync(store.list(prefix, { signal }))).map(({ id }) => id).toSorted();
}

export async function areThere(store: BlobStore, blobs: readonly BlobId[]): Promise<boolean> {
  const names = new Set(await list(store, ''));
  return blobs.every((blob) => names.has(blob));
}

export async function areGone(store: BlobStore, blobs: readonly BlobId[]): Promise<boolean> {
  const names = new Set(await list(store, ''));
  return !blobs.some((blob) => names.has(blob));
}

export function taskOf(result: MaintenanceResult, name: string): MaintenanceResult['tasks'][number] {
  const found = result.tasks.findLast(({ task }) => task === name);
  assert.ok(found !== undefined, name);
  return found;
}

export async function quick(world: World, options: MaintainOptions = {}): Promise<MaintenanceResult> {
  return await checked(world, { mode: 'quick', ...options });
}

export async function checked(world: World, options: MaintainOptions = {}): Promise<MaintenanceResult> {
  const result = await maintainWorld(world, options);
  await new Checker(world.store, world.opened.format).check();
  return result;
}

/** Each a flush of its own, and so an index blob. */
export async function backups(world: World, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await backup(world, [[n], [n, n + 1]], `/path-${n}`);
}

export async function deletedStates(world: World): Promise<ReadonlyMap<string, boolean>> {
  const entries = await new Checker(world.store, world.opened.format).entries();
  return new Map([...entries].map(([id, { deleted }]) => [id, deleted]));
}

/** Everything that an index blob says, by content. */
export async function saidBy(world: World, blob: BlobId): Promise<ReadonlyMap<string, boolean>> {
  const codec = new ContentCodec(world.opened.format);
  const plain = codec.openNamed(blob, await world.store.get(blob, { signal }));
  return new Map([...IndexTable.inMemory(plain).entries()].map((entry) => [entry.contentId, entry.deleted]));
}

export async function withContext<T>(
  world: World,
  { client, store = world.store }: { readonly client: string; readonly store?: BlobStore },
  work: (context: TaskContext) => Promise<T>,
): Promise<T> {
  await using repository = await world.open(client, store);
  const { clock, rng, folder } = world;
  const startMs = clock.nowMs();
  return await work({ repository, clock, rng, identity, startMs, dryRun: false, spoolFolder: folder, signal });
}
