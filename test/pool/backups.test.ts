/** Snapshots that backups read and need, while others would remove them and when a run is cut off. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import { Pool } from '../../src/pool/pool.ts';
import { systemClock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { systemRng } from '../../src/std/rng.ts';
import { createEngine, snapshotIds, type Engine } from '../support/engine.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import type { PoolBackupResult } from '../../src/transfer/pool-backup.ts';
import { PoolBases } from '../../src/changes/pool-bases.ts';
import { poolLineage } from '../../src/transfer/pool-lineage.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { backUp } from './back-up.ts';
import { makeVolume, signal, smallPool, writeAt } from './small-pool.ts';

const mib = 1024 * 1024;

function needed(pool: Pool): readonly string[] {
  return pool.snapshots('data').flatMap(({ snapshot: name, record }) => (record.needs.length > 0 ? name : []));
}

/** Another process tries to remove it. @returns its last word */
function removalBy(pool: Pool, name: string, how: 'plain' | 'forced'): string | undefined {
  const args = [join(import.meta.dirname, 'rival.ts'), pool.layout.root, 'delete', name, how];
  return spawnSync(process.execPath, args, { input: '\n', encoding: 'utf8' }).stdout.trim().split('\n').at(-1);
}

interface BackedUp extends AsyncDisposable {
  readonly engine: Engine;
  readonly pool: Pool;
  readonly image: string;
  readonly first: PoolBackupResult;
}

/** A volume `data` of 32 MiB, three quarters of it random bytes, which a repository has. */
async function backedUpOnce(): Promise<BackedUp> {
  await using stack = new AsyncDisposableStack();
  const { pool } = stack.use(await smallPool());
  const folder = stack.use(await temporaryFolder('backups'));
  const engine = await createEngine(folder.path);
  const image = await makeVolume(pool, 'data', { sizeBytes: 32 * mib });
  await writeAt(image, 0, systemRng.bytes(24 * mib));
  const first = await backUp(engine, pool, () => undefined);
  const made = stack.move();
  return { engine, pool, image, first, [Symbol.asyncDispose]: async () => await made.disposeAsync() };
}

describe('a backup of a volume', { skip: fileSystemsMissing('xfs') }, () => {
  test('keeps what it reads, against force too, and what it builds on, until its own is stored', async () => {
    await using begun = await backedUpOnce();
    const { engine, pool, image, first } = begun;
    assert.deepEqual(needed(pool), [first.poolSnapshot.snapshot]);
    await writeAt(image, mib, systemRng.bytes(8 * mib));
    const seen: (readonly string[])[] = [];
    const answers: (string | undefined)[] = [];
    const second = await backUp(engine, pool, () => {
      if (seen.length > 0) return;
      seen.push(needed(pool));
      const [base, read] = pool.snapshots('data').map(({ snapshot: name }) => `data@${name}`);
      // The backup stands still meanwhile.
      answers.push(removalBy(pool, read!, 'forced'), removalBy(pool, base!, 'plain'));
    });
    assert.deepEqual(answers, ['pool-in-use', 'pool-needed']);
    assert.deepEqual(seen, [[first.poolSnapshot.snapshot, second.poolSnapshot.snapshot]]);
    assert.equal(second.changes.rung, 'extents');
    assert.deepEqual(needed(pool), [second.poolSnapshot.snapshot]);
    assert.equal(pool.snapshots('data').length, 1);
    const [left] = pool.snapshots('data');
    const plain = deleteSnapshot(pool, { volume: 'data', snapshot: left!.snapshot }, { force: false, signal });
    await assert.rejects(plain, (error) => hasCode(error, 'pool-needed'));
  });

  test('builds on a base of this very volume that the pool has, and on none that an audit has doubted', async () => {
    await using begun = await backedUpOnce();
    const { pool, first } = begun;
    const { record } = first.poolSnapshot;
    const { canServe } = poolLineage(new PoolBases(pool, first.poolSnapshot));
    const tags = { pool: pool.id, poolVolume: record.volumeId, poolSnapshot: record.id };
    assert.equal(canServe(tags), true);
    assert.equal(canServe({ ...tags, suspect: 'byte 0' }), false);
    assert.equal(canServe({ ...tags, poolVolume: 'another' }), false);
    assert.equal(canServe({ ...tags, poolSnapshot: 'removed' }), false);
    assert.equal(canServe({}), false);
    await chmod(first.poolSnapshot.image, 0o600);
    assert.equal(canServe(tags), false, 'changed by other hands');
    await rm(first.poolSnapshot.image);
    assert.equal(canServe(tags), false, 'its image is gone');
  });

  test('that is cut off leaves its base and its snapshot, and the next goes on from both', async () => {
    await using begun = await backedUpOnce();
    const { engine, pool, image, first } = begun;
    await writeAt(image, mib, systemRng.bytes(8 * mib));
    const cut = new AbortController();
    await assert.rejects(
      backUp(engine, pool, () => cut.abort(new Error('cut off')), cut.signal),
      /cut off/,
    );
    assert.equal(needed(pool).length, 2);
    assert.ok(
      needed(pool).includes(first.poolSnapshot.snapshot),
      'the base is not needed any more, and nothing is stored',
    );
    const next = await backUp(engine, pool, () => undefined);
    assert.equal(next.completed?.changes.rung, 'extents');
    assert.equal(next.changes.rung, 'extents');
    assert.deepEqual(needed(pool), [next.poolSnapshot.snapshot]);
  });

  test('that another one overtakes takes it for no interrupted one, and builds on it', async () => {
    await using begun = await backedUpOnce();
    const { engine, pool, image } = begun;
    await writeAt(image, mib, systemRng.bytes(mib));
    const late = Pool.open(pool.layout.root, { clock: systemClock, rng: systemRng });
    const change = late.change.bind(late);
    let other: PoolBackupResult | undefined;
    late.change = async (work, options) => {
      // The repository is open, and what it held is known; the snapshot is to be taken.
      other ??= await backUp(engine, pool, () => undefined);
      return await change(work, options);
    };
    const result = await backUp(engine, late, () => undefined);
    assert.equal(result.completed, undefined);
    assert.equal(result.changes.rung, 'extents');
    assert.equal(result.parent, other?.snapshot);
    assert.equal((await snapshotIds(engine)).length, 3);
    assert.deepEqual(needed(pool), [result.poolSnapshot.snapshot]);
  });
});
