/** What lies in a pool and is none of its own: files that others put there, and records of a newer version. */
import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { checkPool } from '../../src/pool/check-pool.ts';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import { deleteVolume } from '../../src/pool/delete-volume.ts';
import { releaseNeeds, type ReleasedSnapshot } from '../../src/pool/needs.ts';
import { snapshotName } from '../../src/pool/pool-names.ts';
import type { Need } from '../../src/pool/pool-records.ts';
import { readableSnapshots, readableVolumes } from '../../src/pool/readable.ts';
import { revertVolume } from '../../src/pool/revert-volume.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { makeVolume, signal, smallPool, takeSnapshots } from './small-pool.ts';

const need: Need = { kind: 'backup', repository: 'ab', url: '/backups', since: '2031-04-02T17:15:00.000Z' };
const whole = { withSnapshots: true, force: true, signal } as const;
const onDropped = (): void => undefined;

async function put(path: string): Promise<string> {
  await writeFile(path, 'mine');
  return path;
}

describe('what the pool did not make', { skip: fileSystemsMissing('xfs') }, () => {
  test('does not go along with what is deleted or replaced, whatever is forced', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const { layout } = pool;
    await makeVolume(pool, 'data');
    for (const name of ['mon', 'tue']) await takeSnapshots(pool, [`data@${name}`]);
    const [mon, tue] = ['mon', 'tue'].map((name) => ({ volume: 'data', snapshot: name }));
    const refused = { code: 'pool-foreign-file' };
    const inSnapshot = await put(join(layout.snapshot('data', 'mon'), 'notes'));
    await assert.rejects(deleteSnapshot(pool, mon!, { force: true, signal }), refused);
    await deleteSnapshot(pool, tue!, { force: false, signal });
    const inLive = await put(join(layout.live('data'), 'notes'));
    await assert.rejects(deleteVolume(pool, 'data', whole), refused);
    await assert.rejects(revertVolume(pool, mon!, { onDropped, signal }), refused);
    for (const file of [inSnapshot, inLive]) assert.equal(await readFile(file, 'utf8'), 'mine');
    await rm(inLive);
    await assert.rejects(deleteVolume(pool, 'data', whole), refused);
    await revertVolume(pool, mon!, { onDropped, signal });
    await rm(inSnapshot);
    await deleteVolume(pool, 'data', whole);
    assert.deepEqual(await readdir(layout.volumes), []);
  });

  test('keeps a base that a backup needs no more, and nothing else', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data');
    for (const name of ['mon', 'tue']) await takeSnapshots(pool, [`data@${name}`], { madeBy: 'backup', needs: [need] });
    const inside = await put(join(pool.layout.snapshot('data', 'mon'), 'notes'));
    const which = { repository: 'ab', volumes: ['data'], keep: undefined, signal };
    const removals = (released: readonly ReleasedSnapshot[]): (readonly [string, boolean])[] =>
      released.map(({ snapshot: { snapshot: name }, removed }) => [name, removed]);
    const expected = [
      ['mon', false],
      ['tue', true],
    ];
    assert.deepEqual(removals(await releaseNeeds(pool, { ...which, dryRun: true })), expected);
    assert.deepEqual(removals(await releaseNeeds(pool, which)), expected);
    assert.equal(await readFile(inside, 'utf8'), 'mine');
    await rm(inside);
    assert.deepEqual(removals(await releaseNeeds(pool, which)), [['mon', true]]);
  });
});

describe('a record of a newer dray', { skip: fileSystemsMissing('xfs') }, () => {
  test('hides nothing else, is named, and is left as it is', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const { layout } = pool;
    for (const name of ['data', 'logs']) await makeVolume(pool, name);
    for (const name of ['mon', 'tue']) await takeSnapshots(pool, [`data@${name}`]);
    const newer = [join(layout.live('logs'), 'volume.json'), join(layout.snapshot('data', 'mon'), 'snapshot.json')];
    for (const path of newer) await writeFile(path, '{"version":2}');
    assert.deepEqual(
      [...readableVolumes(pool).map(({ name }) => name), ...readableSnapshots(pool, 'data').map(snapshotName)],
      ['data', 'data@tue'],
    );
    const { findings, mended } = await checkPool(pool, {
      dryRun: false,
      removeDamaged: true,
      removeUnfinished: true,
      signal,
    });
    assert.deepEqual(Object.fromEntries(findings.map(({ what, remedy }) => [what, remedy])), {
      'data@mon': 'newer',
      logs: 'newer',
    });
    assert.equal(mended, 0);
    for (const path of newer) assert.equal(await readFile(path, 'utf8'), '{"version":2}');
    await assert.rejects(deleteVolume(pool, 'logs', whole), { code: 'pool-version' });
    await takeSnapshots(pool, ['data@wed']);
  });
});
