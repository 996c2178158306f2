/**
 * A repository with days behind it, so that a full maintenance has work of every kind: contents to mark, to unmark, to
 * drop and to write again, packs, logs and index blobs to remove, epochs to merge.
 */
import { utimes } from 'node:fs/promises';

import { blobId } from '../../src/blobs/blob-store.ts';
import { openBlobStore } from '../../src/blobs/open-blob-store.ts';
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import { EpochBlobs } from '../../src/repository/index/epoch-blobs.ts';
import { EpochReader } from '../../src/repository/index/epoch-reader.ts';
import type { IndexBlobs } from '../../src/repository/index/index-blobs.ts';
import { LegacyBlobs } from '../../src/repository/index/legacy-blobs.ts';
import { systemClock } from '../../src/std/clock.ts';
import { systemRng } from '../../src/std/rng.ts';
import { blobFiles } from '../fixtures/open-fixture.ts';
import { Checker } from './checker.ts';
import {
  backup,
  deleteSnapshot,
  hourMs,
  identity,
  maintainWorld,
  openWorld,
  putFile,
  putSnapshot,
  type World,
  type WorldFormat,
} from './world.ts';

const signal = new AbortController().signal;

/** What the next full run does with packs: gather the contents of short ones, or remove those that were emptied. */
export type NextRun = 'rewrite' | 'remove';

export const password = 'password';
/** With so many runs before, the next one removes or, a run later, gathers. */
const daysBefore: Readonly<Record<NextRun, number>> = { rewrite: 6, remove: 5 };

/** @param endMs what the simulated clock shows in the end */
export async function agedWorld(
  next: NextRun,
  { seed, endMs, format }: { readonly seed: number; readonly endMs: number; readonly format?: WorldFormat | undefined },
): Promise<World> {
  const days = daysBefore[next];
  const world = await openWorld({ seed, format, startMs: endMs - (days + 2) * 27 * hourMs });
  const { clock, store } = world;
  await backup(world, [[1, 2, 3], [4], [5]], '/stays');
  const gone = await backup(world, [[1, 10, 11], [12], [13], [14, 15]], '/goes');
  await backup(world, [[20], [21, 22]], '/stays-too');
  clock.advance(25 * hourMs);
  await deleteSnapshot(world, gone);
  const races = await backup(world, [[80], [81, 82]], '/races');
  for (let day = 0; day < days; day++) {
    await flushOften(world, day);
    await backup(world, [[40 + day], [50 + day, 60 + day]], `/day-${day}`);
    if (day === days - 1) await deleteSnapshot(world, races);
    if (day < days - 1) await maintainWorld(world, { mode: 'full' });
    else await maintainDuringBackup(world);
  }
  const goesNow = await backup(world, [[70, 71], [72]], '/goes-now');
  await store.put(blobId(`p${'0'.repeat(32)}-sffffffffffffffff141`), Buffer.alloc(5000), { signal });
  await store.put(blobId('_log_old'), Buffer.alloc(100), { signal });
  store.setTimestamp(blobId('_log_old'), endMs - 40 * 24 * hourMs);
  clock.advance(25 * hourMs);
  await deleteSnapshot(world, goesNow);
  clock.advance(endMs - clock.nowMs());
  return world;
}

/** The backup relies on contents that the maintenance marks meanwhile; the next run has to unmark them. */
async function maintainDuringBackup(world: World): Promise<void> {
  await using repository = await world.open('racing');
  await using writer = await repository.writer(identity, { signal });
  const files = [await putFile(writer, [80]), await putFile(writer, [81, 82]), await putFile(writer, [30, 31])];
  await maintainWorld(world, { mode: 'full' });
  await putSnapshot(repository, writer, { path: '/racing', files, nowMs: world.clock.nowMs() });
  await writer.finish();
}

/** Twenty writers, each with an index blob of its own, in more than a day: the epoch, if there are epochs, is full. */
async function flushOften({ clock, store, opened }: World, day: number): Promise<void> {
  const { format } = opened;
  const codec = new ContentCodec(format);
  const { epochs, indexVersion } = format;
  const blobs: IndexBlobs = epochs.enabled
    ? new EpochBlobs({ store, codec, indexVersion, epochs: new EpochReader(store, { epochs, clock }) })
    : new LegacyBlobs({ store, codec, indexVersion });
  const known = [...(await new Checker(store, format).entries()).values()];
  const entries = known.filter(({ deleted }) => !deleted);
  for (let n = 0; n < 20; n++) {
    clock.advance(1.3 * hourMs);
    const timestampSeconds = Math.floor(clock.nowMs() / 1000);
    const sessionId = `s${day}0${n}`.padEnd(20, '0');
    await blobs.put([{ ...entries[n % entries.length]!, timestampSeconds }], { sessionId, signal });
  }
}

/** The repository as a folder, each blob as old as it is in the world. */
export async function writeFolder({ store }: World, path: string): Promise<void> {
  const blobs = await Array.fromAsync(store.list('', { signal }));
  {
    const location = { kind: 'directory', path } as const;
    await using folder = await openBlobStore(location, { create: true, signal, clock: systemClock, rng: systemRng });
    for (const { id } of blobs) await folder.put(id, await store.get(id, { signal }), { signal });
  }
  const files = await blobFiles(path);
  for (const { id, timestampMs } of blobs) await utimes(files.get(id)!, timestampMs / 1000, timestampMs / 1000);
}
