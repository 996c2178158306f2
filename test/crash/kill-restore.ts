/** One `kill -9` of a restore at a point that a seed gives: the target has no name before it is whole, and is resumed. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRng } from '../../src/std/rng.ts';
import { drayJson, type RestorePrinted } from '../support/run-dray.ts';
import { firstDifference } from '../support/volume-model.ts';
import { intervalBytes, type CrashWorld } from './crash-volume.ts';
import { runAndKill } from '../support/run-and-kill.ts';

/** Longer than the last flush takes. */
const pauseMsMax = 300;

export interface RestoreKill {
  readonly seed: number;
  readonly way: 'new' | 'overwrite' | 'delta' | 'device';
  readonly fromBytes: number;
  readonly pauseMs: number;
  readonly killed: boolean;
  readonly resumed: boolean;
  readonly writtenBefore: number;
  readonly fetchedAfter: number;
  /** Written twice. */
  readonly againBytes: number;
}

export interface RestoreKillOptions {
  readonly seed: number;
  /** A block device of at least the source's size, when there is one. */
  readonly device: string | undefined;
}

/** @throws when anything does not hold that must */
export async function killRestore(
  { folder, source, bystander, whole, snapshot, runBytes }: CrashWorld,
  { seed, device }: RestoreKillOptions,
): Promise<RestoreKill> {
  const rng = seededRng(seed);
  const way = wayOf(seed, device);
  const point = join(folder, 'points', `restore-${seed}`);
  await mkdir(point);
  const target = way === 'device' ? device! : join(point, 'target.img');
  try {
    if (way === 'overwrite' || way === 'delta') await copyFile(bystander, target);
    const flags = way === 'overwrite' ? ['--overwrite'] : way === 'delta' ? ['--delta'] : [];
    const args = ['restore', snapshot, target, ...flags];
    const fromBytes = Math.floor(rng.uniform() * runBytes);
    const pauseMs = rng.uniform() < 0.5 ? 0 : Math.floor(rng.uniform() * pauseMsMax);
    const place = { ...whole, cache: join(point, 'cache') };
    const run = { args, counter: 'wchar', fromBytes, pauseMs } as const;
    const { killed, countedBytes } = await runAndKill(place, run);
    // A kill between the renaming and the end of the program comes too late to interrupt anything.
    const named = (way === 'new' || way === 'overwrite') && (await isNamed(target, { bystander, way }));
    if (named) assert.equal(await firstDifference(source, target), undefined, 'the target had its name too early');
    const again = named && way === 'new' ? [...args, '--delta'] : args;
    const next = await drayJson<RestorePrinted>(place, again);
    const compared = way === 'device' ? { lengthBytes: (await stat(source)).size } : {};
    assert.equal(await firstDifference(source, target, compared), undefined, way);
    assert.equal(await exists(`${target}.partial`), false);
    assert.equal(await exists(`${target}.partial.state`), false);
    const againBytes = named ? 0 : Math.max(0, countedBytes + next.fetchedBytes - runBytes);
    if (!named && (way === 'new' || way === 'overwrite') && next.fetchedBytes > 0) {
      const most = Math.max(intervalBytes, runBytes / 100);
      assert.ok(againBytes <= most, `${againBytes} bytes again: ${countedBytes} and ${next.fetchedBytes}`);
      assert.ok(next.resumed || countedBytes < most, `not resumed after ${countedBytes} bytes`);
    }
    const counts = { writtenBefore: countedBytes, fetchedAfter: next.fetchedBytes, againBytes };
    return { seed, way, fromBytes, pauseMs, killed: killed && !named, resumed: next.resumed, ...counts };
  } finally {
    await rm(point, { recursive: true, force: true });
  }
}

function wayOf(seed: number, device: string | undefined): RestoreKill['way'] {
  const ways = ['new', 'overwrite', 'new', 'delta'] as const;
  return device !== undefined && seed % 5 === 4 ? 'device' : ways[seed % ways.length]!;
}

/** Whether the target has become what was to be restored; until then one to be overwritten is what it was. */
async function isNamed(
  target: string,
  { bystander, way }: { readonly bystander: string; readonly way: 'new' | 'overwrite' },
): Promise<boolean> {
  if (way === 'new') return await exists(target);
  return (await firstDifference(bystander, target)) !== undefined;
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
