/** A volume that is deleted, or made anew, while a restore is about to replace it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { errorReport } from '../../src/cli/shell/error-report.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { resolveSnapshot } from '../../src/repository/manifest/snapshot.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { systemRng } from '../../src/std/rng.ts';
import { openVolumeSnapshot } from '../../src/transfer/backup-parent.ts';
import { type PoolRestoreResult, restoreVolume } from '../../src/transfer/pool-restore.ts';
import { createEngine, withRepository, type Engine } from '../support/engine.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { dataDigest } from '../support/volume-model.ts';
import { backUp } from './back-up.ts';
import { makeVolume, signal, smallPool, writeAt } from './small-pool.ts';

const mib = 1024 * 1024;
const ignore = (): void => undefined;

for (const anew of [true, false]) {
  test(
    `a volume that is deleted${anew ? ' and made anew' : ''} while it is restored > is left as it is, until that is said again`,
    { skip: fileSystemsMissing('xfs') },
    async () => {
      await using folder = await temporaryFolder('anew');
      await using small = await smallPool();
      const { pool } = small;
      const engine = await createEngine(folder.path);
      const image = await makeVolume(pool, 'data', { sizeBytes: 16 * mib });
      await writeAt(image, 0, systemRng.bytes(8 * mib));
      const stored = await dataDigest(image);
      const { snapshot } = await backUp(engine, pool, ignore);
      await writeAt(image, 0, systemRng.bytes(8 * mib));

      const { id } = pool.volume('data').record;
      const remove = (): void => {
        if (pool.findVolume('data')?.record.id !== id) return;
        dray(pool, 'volume', 'delete', 'data', '--with-snapshots', '--force');
        if (anew) dray(pool, 'volume', 'create', 'data', '--size', '20M');
      };
      const error = await load(engine, pool, { snapshot, onProgress: remove }).catch((thrown: unknown) => thrown);
      assert(hasCode(error, 'pool-volume-deleted'));
      const said = errorReport(error, { attempted: 'restore', stacks: false });
      assert.match(
        said,
        anew ? /: volume data was deleted and made anew while .* left as it is\n/ : /was deleted while/,
      );
      // There is nothing to overwrite that was not allowed, nor is all of it to be done again.
      assert.match(said, / {2}next: .*run the same command again/);
      const left = pool.findVolume('data')?.record;
      assert.deepEqual([left !== undefined, left?.restoredFrom], [anew, undefined]);

      const { counts, volume } = await load(engine, pool, { snapshot, onProgress: ignore });
      assert.equal(counts.fetchedBytes, 0);
      assert.equal(volume.record.restoredFrom, snapshot);
      assert.equal(await dataDigest(pool.volume('data').image), stored);
      assert.deepEqual(await readdir(pool.layout.staging), []);
    },
  );
}

async function load(
  engine: Engine,
  pool: Pool,
  { snapshot, onProgress }: { readonly snapshot: string; readonly onProgress: () => void },
): Promise<PoolRestoreResult> {
  return await withRepository(engine, async (repository) => {
    const set = await repository.manifests.load({ signal });
    const volume = await openVolumeSnapshot(repository, resolveSnapshot(set, snapshot), { signal });
    const how = { overwrite: true, sectorBytes: 4096, parallel: 1, stateDirectory: engine.cache } as const;
    const request = { volume, name: 'data', store: { kind: 'directory', path: engine.path }, onProgress } as const;
    const parts = { repository, clock, rng: systemRng };
    return await restoreVolume(pool, parts, { ...request, ...how, onDropped: ignore, signal });
  });
}

/** At once, as in another process: nothing of the restore goes on meanwhile. */
function dray(pool: Pool, ...args: readonly string[]): void {
  const program = join(import.meta.dirname, '../../bin/dray');
  const env = { ...process.env, DRAY_POOL: pool.layout.root };
  const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', env });
  assert.equal(status, 0, stderr);
}
