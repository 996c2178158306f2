/** One `kill -9` of a backup at a point that a seed gives, and everything that must hold afterwards. */
import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRng } from '../../src/std/rng.ts';
import { KopiaClient } from '../peers/peers.ts';
import { drayJson, type BackupPrinted, type DrayPlace } from '../support/run-dray.ts';
import { firstDifference } from '../support/volume-model.ts';
import { intervalBytes, must, type CrashWorld } from './crash-volume.ts';
import { runAndKill } from '../support/run-and-kill.ts';

const mib = 1024 * 1024;
/**
 * What the kernel counts beside one reading of the volume: the program, the repository, and twice what the page cache holds
 * in part of what is read at once.
 */
const ownReadsBytes = 32 * mib;
/** Longer than the last flush takes. */
const pauseMsMax = 400;

export interface BackupKill {
  readonly seed: number;
  /** The kill came this long after the program had read `fromBytes`; the run may have been over by then. */
  readonly fromBytes: number;
  readonly pauseMs: number;
  readonly killed: boolean;
  readonly resumed: boolean;
  /** Read before the kill, from the kernel's count; 0 when it cannot be told. */
  readonly readBefore: number;
  readonly readAfter: number;
  /** Read twice. */
  readonly againBytes: number;
}

export interface KillOptions {
  readonly seed: number;
  /** The real kopia, when it shall look too. */
  readonly kopia: string | undefined;
}

/** @throws when anything does not hold that must */
export async function killBackup(world: CrashWorld, options: KillOptions): Promise<BackupKill> {
  const { seed, kopia } = options;
  const { runBytes } = world;
  const rng = seededRng(seed);
  const template = world.templates[seed % world.templates.length]!;
  const point = join(world.folder, 'points', `backup-${seed}`);
  const place = { repository: join(point, 'repository'), cache: join(point, 'cache'), password: world.password };
  await cp(template, place.repository, { recursive: true });
  try {
    const before = await snapshotsOf(place, join(point, 'look'));
    // By what was read, not by time: so the points spread evenly on a slow machine as on a fast one.
    const fromBytes = Math.floor(rng.uniform() * runBytes);
    const pauseMs = rng.uniform() < 0.5 ? 0 : Math.floor(rng.uniform() * pauseMsMax);
    const run = { args: ['backup', world.source], counter: 'rchar', fromBytes, pauseMs } as const;
    const { killed, countedBytes: readBefore } = await runAndKill(place, run);
    // Not the cache of the killed run: what holds must hold in the repository.
    const elsewhere = { ...place, cache: join(point, 'elsewhere') };
    await must(elsewhere, ['repository', 'verify', '--level', 'data']);
    if (kopia !== undefined) await kopiaVerifies(kopia, place);
    const visible = await snapshotsOf(place, join(point, 'look'));
    assert.ok(visible >= before && visible <= before + 1, `${visible} snapshots, ${before} before`);
    const sameMachine = rng.uniform() < 0.5;
    const next = await drayJson<BackupPrinted>(sameMachine ? place : elsewhere, ['backup', world.source]);
    const interrupted = killed && visible === before;
    const againBytes = interrupted ? Math.max(0, readBefore - ownReadsBytes) + next.readBytes - runBytes : 0;
    if (interrupted) {
      const most = Math.max(intervalBytes, runBytes / 100);
      assert.ok(againBytes <= most, `${againBytes} bytes were read again: ${readBefore} and ${next.readBytes}`);
      assert.ok(next.resumed || readBefore - ownReadsBytes <= most, `not resumed after ${readBefore} bytes`);
    }
    await restoresEqual(place, next.snapshot, world.source, join(point, 'restored.img'));
    return {
      seed,
      fromBytes,
      pauseMs,
      killed,
      resumed: next.resumed,
      readBefore,
      readAfter: next.readBytes,
      againBytes,
    };
  } finally {
    await rm(point, { recursive: true, force: true });
  }
}

async function snapshotsOf(place: DrayPlace, cache: string): Promise<number> {
  return (await drayJson<readonly unknown[]>({ ...place, cache }, ['snapshot', 'list'])).length;
}

async function kopiaVerifies(kopia: string, place: DrayPlace): Promise<void> {
  await using client = await KopiaClient.open(kopia, place.repository);
  await client.connect(place.password);
  await client.verify();
}

export async function restoresEqual(place: DrayPlace, id: string, source: string, target: string): Promise<void> {
  await must(place, ['restore', id, target]);
  assert.equal(await firstDifference(source, target), undefined, `${id} differs from ${source}`);
  await rm(target);
}
