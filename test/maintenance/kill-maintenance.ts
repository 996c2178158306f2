/** One `kill -9` of a full maintenance at a point that a seed gives, and everything that must hold afterwards. */
import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { seededRng } from '../../src/std/rng.ts';
import { KopiaClient } from '../peers/peers.ts';
import { runAndKill } from '../support/run-and-kill.ts';
import { drayJson, type DrayPlace } from '../support/run-dray.ts';
import { password, type NextRun } from './aged-world.ts';

/** About what a run writes, by the kernel's count, local cache included; later points fall after its end. */
const writtenBytes = 300_000;
const pauseMsMax = 120;
const full = ['repository', 'maintain', '--full', '--identity', 'keeper@here'];

export interface MaintenanceKill {
  readonly seed: number;
  readonly next: NextRun;
  readonly killed: boolean;
}

interface Printed {
  readonly mode: string;
  readonly tasks: readonly { readonly task: string }[];
}

/** @throws when anything does not hold that must */
export async function killMaintenance(
  templates: Readonly<Record<NextRun, string>>,
  { seed, folder, kopia }: { readonly seed: number; readonly folder: string; readonly kopia: string | undefined },
): Promise<MaintenanceKill> {
  const rng = seededRng(seed);
  const next: NextRun = seed % 2 === 0 ? 'rewrite' : 'remove';
  const point = join(folder, `point-${seed}`);
  const place = { repository: join(point, 'repository'), cache: join(point, 'cache'), password };
  await cp(templates[next], place.repository, { recursive: true, preserveTimestamps: true });
  try {
    const fromBytes = Math.floor(rng.uniform() * writtenBytes);
    const pauseMs = rng.uniform() < 0.5 ? 0 : Math.floor(rng.uniform() * pauseMsMax);
    const { killed, ended } = await runAndKill(place, { args: full, counter: 'wchar', fromBytes, pauseMs });
    assert.ok(killed || ended.exitCode === 0, ended.stderr);
    await holds(place, join(point, 'elsewhere'));
    const { mode, tasks } = await drayJson<Printed>(place, full);
    assert.equal(mode, 'full');
    assert.ok(tasks.length >= 9);
    await holds(place, join(point, 'elsewhere-again'));
    if (kopia !== undefined) {
      await using client = await KopiaClient.open(kopia, place.repository);
      await client.connect(password, { user: 'keeper', host: 'here' });
      await client.verify();
      await client.maintenanceFull({ safety: 'full' });
      await client.verify();
    }
    return { seed, next, killed };
  } finally {
    await rm(point, { recursive: true, force: true });
  }
}

async function holds(place: DrayPlace, cache: string): Promise<void> {
  const { whole, snapshots } = await drayJson<{ whole: boolean; snapshots: number }>({ ...place, cache }, [
    'repository',
    'verify',
    '--level',
    'data',
  ]);
  assert.ok(whole && snapshots >= 8, `${snapshots} snapshots`);
}
