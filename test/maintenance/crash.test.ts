/** A maintenance that dies at any point loses nothing, and the next one finishes. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { systemClock } from '../../src/std/clock.ts';
import { findKopia } from '../peers/peers.ts';
import { memoryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { agedWorld, writeFolder, type NextRun } from './aged-world.ts';
import { Checker } from './checker.ts';
import { copyOf, CutStore, Gone } from './cut-store.ts';
import { killMaintenance } from './kill-maintenance.ts';
import { hourMs, maintainWorld, type WorldFormat } from './world.ts';

const endMs = Date.UTC(2026, 5, 1);
/** Of the points in `npm run test:maintenance`. */
const kills = 10;

const changing = [
  { next: 'rewrite', format: 'epochs' },
  { next: 'remove', format: 'epochs' },
  { next: 'rewrite', format: 'legacy' },
  { next: 'remove', format: 'legacy' },
] as const satisfies readonly { next: NextRun; format: WorldFormat }[];

for (const { next, format } of changing) {
  test(`maintenance > may die before or after any change that it makes (${next}, ${format})`, async () => {
    await using world = await agedWorld(next, { seed: 41, endMs, format });
    const snapshots = (await new Checker(world.store, world.opened.format).check()).length;
    let changes = Infinity;
    for (let at = 1; at <= changes; at++) {
      const store = await copyOf(world);
      const cut = new CutStore(store, { at, after: at % 2 === 0 });
      const client = `client-${next}-${at}`;
      const died = await maintainWorld(world, { store: cut.store, client }).then(
        () => false,
        (error: unknown) => {
          assert.ok(isGone(error), String(error));
          return true;
        },
      );
      if (!died) changes = cut.changes;
      const checker = new Checker(store, world.opened.format);
      assert.equal((await checker.check()).length, snapshots, `died at change ${at}`);
      // Not beyond the hour in which the next run still tells what this one did from what it did not.
      const { tasks } = await maintainWorld(world, { store, client });
      assert.ok(tasks.length >= (format === 'epochs' ? 9 : 5));
      assert.equal((await checker.check()).length, snapshots, `finished after change ${at}`);
    }
    assert.ok(changes > 15, `${changes} changes`);
  });
}

function isGone(error: unknown): boolean {
  let link = error;
  while (link instanceof Error) {
    if (link instanceof Gone) return true;
    link = link instanceof SuppressedError ? link.suppressed : link.cause;
  }
  return false;
}

describe('a maintenance', () => {
  let folder: TemporaryFolder;
  let kopia: string | undefined;
  const templates: Record<NextRun, string> = { rewrite: '', remove: '' };

  before(async () => {
    folder = await memoryFolder('maintenance-kill');
    for (const next of ['rewrite', 'remove'] as const) {
      templates[next] = `${folder.path}/${next}`;
      await using world = await agedWorld(next, { seed: 42, endMs: systemClock.nowMs() - hourMs / 30 });
      await writeFolder(world, templates[next]);
    }
    kopia = await findKopia();
  });
  after(async () => await folder[Symbol.asyncDispose]());

  for (let seed = 1; seed <= kills; seed++) {
    test(`killed at a random point loses nothing, and the next one finishes (seed ${seed})`, async () => {
      await killMaintenance(templates, { seed, folder: folder.path, kopia: seed <= 2 ? kopia : undefined });
    });
  }
});
