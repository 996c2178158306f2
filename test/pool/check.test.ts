/** What `dray pool check` mends, and what it must leave alone, on a real file system that shares blocks. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename, rm, rmdir, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { checkPool, type CheckOptions, type CheckResult } from '../../src/pool/check-pool.ts';
import { findFaults } from '../../src/pool/find-faults.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { makeVolume, signal, smallPool, takeSnapshots, writeAt } from './small-pool.ts';

const check = async (pool: Pool, options: Partial<CheckOptions> = {}): Promise<CheckResult> =>
  await checkPool(pool, { dryRun: false, removeDamaged: false, removeUnfinished: false, signal, ...options });
const everything = { removeDamaged: true, removeUnfinished: true } as const;

async function put(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, 'mine');
  return path;
}

describe('pool check', { skip: fileSystemsMissing('xfs') }, () => {
  test('names what the pool did not make, and never removes it', async () => {
    await using small = await smallPool();
    const { pool, path } = small;
    const { layout } = pool;
    await makeVolume(pool, 'data');
    await takeSnapshots(pool, ['data@mon']);
    const elsewhere = dirname(await put(join(path, 'elsewhere/live/image')));
    await symlink(dirname(elsewhere), join(layout.volumes, 'linked'));
    const foreign = [
      // Names that no volume can have, and such that one could.
      await put(join(layout.volumes, 'lost+found/file')),
      await put(join(layout.volumes, 'notes')),
      await put(join(layout.volumes, 'music/album/song')),
      await put(join(layout.volume('data'), 'README.txt')),
      await put(join(layout.live('data'), 'image.bak')),
      await put(join(layout.live('data'), 'other.tmp.0123456789abcdef')),
      await put(join(layout.snapshots('data'), '.hidden/image')),
      await put(join(layout.snapshots('data'), 'tue/anything')),
      await put(join(layout.snapshot('data', 'mon'), 'image.bak')),
      await put(join(layout.root, 'notes')),
      await put(join(layout.staging, 'notes')),
      await put(join(layout.staging, 'restore-notes')),
    ];
    const left = await put(join(layout.live('data'), 'volume.json.tmp.0123456789abcdef'));
    const { findings, mended } = await check(pool, everything);
    assert.equal(mended, 1, 'a record that was never finished');
    await assert.rejects(stat(left));
    for (const file of foreign) assert.equal(await readFile(file, 'utf8'), 'mine', file);
    assert.equal(await readFile(join(elsewhere, 'image'), 'utf8'), 'mine');
    const named = findings.filter(({ kind }) => kind === 'foreign').map((finding) => finding.path);
    for (const file of foreign)
      assert(
        named.some((each) => file === each || file.startsWith(`${each}/`)),
        file,
      );
    assert.equal(named.length, foreign.length + 1, 'and the link');
    assert.deepEqual([...new Set(findFaults(pool).map(({ remedy }) => remedy))], ['none']);
    await takeSnapshots(pool, ['data@wed']);
    assert.equal(await readFile(join(layout.staging, 'notes'), 'utf8'), 'mine', 'nor does any other command');
  });

  test('leaves what is damaged while something foreign lies in it', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const { layout } = pool;
    for (const name of ['data', 'logs']) await makeVolume(pool, name);
    await takeSnapshots(pool, ['logs@mon']);
    const inVolume = await put(join(layout.volume('data'), 'notes'));
    const inSnapshot = await put(join(layout.snapshot('logs', 'mon'), 'notes'));
    await rm(layout.image('data'));
    await rm(layout.snapshotImage('logs', 'mon'));
    await check(pool, everything);
    for (const file of [inVolume, inSnapshot]) assert.equal(await readFile(file, 'utf8'), 'mine');
    const lost = findFaults(pool).filter(({ remedy }) => remedy === 'stuck');
    assert.deepEqual(
      lost.map(({ what }) => what),
      ['data', 'logs@mon'],
    );
    for (const file of [inVolume, inSnapshot]) await rm(file);
    await check(pool, everything);
    assert.deepEqual(findFaults(pool), []);
    assert.deepEqual(await readdir(layout.volumes), ['logs']);
  });

  test('makes staging again, which all other changes of the pool ask for', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data');
    await rmdir(pool.layout.staging);
    await assert.rejects(takeSnapshots(pool, ['data@mon']), (error) => hasCode(error, 'pool-damaged'));
    assert.deepEqual(
      findFaults(pool).map(({ kind, remedy }) => [kind, remedy]),
      [['staging', 'mend']],
    );
    const dry = await check(pool, { dryRun: true });
    assert.deepEqual([dry.findings.length, dry.mended], [1, 0]);
    await assert.rejects(stat(pool.layout.staging));
    const { findings, mended } = await check(pool);
    assert.deepEqual([findings.length, mended], [1, 1]);
    assert.equal((await stat(pool.layout.staging)).mode & 0o777, 0o700);
    await takeSnapshots(pool, ['data@mon']);
    assert.deepEqual(findFaults(pool), []);
  });
});

/** A group of `one` and `two`, killed when it was decided, and the decision torn. @returns its members in `staging` */
async function tornGroup(pool: Pool): Promise<{ readonly staged: readonly string[]; readonly intent: string }> {
  for (const [number, name] of ['one', 'two'].entries()) {
    await writeAt(await makeVolume(pool, name), 0, Buffer.alloc(4096, number + 1));
  }
  const snapshots = await takeSnapshots(pool, ['one@both', 'two@both']);
  const staged: string[] = [];
  for (const { volume, snapshot: name } of snapshots) {
    const path = join(pool.layout.staging, `new-00000000000000${volume === 'one' ? '01' : '02'}`);
    await rename(pool.layout.snapshot(volume, name), path);
    staged.push(path);
  }
  const intent = join(pool.layout.staging, `group-${snapshots[0]!.record.group!.id}.json`);
  await writeFile(intent, '{"members":[{"staged":"new-00');
  return { staged, intent };
}

const namesOf = (pool: Pool): string[][] =>
  ['one', 'two'].map((volume) => pool.snapshots(volume).map(({ snapshot: name }) => name));

describe('pool check of a group whose decision cannot be read', { skip: fileSystemsMissing('xfs') }, () => {
  test('completes it where all records are there; until then nobody changes the pool', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const { intent } = await tornGroup(pool);
    await assert.rejects(takeSnapshots(pool, ['one@other']), (error) => hasCode(error, 'pool-damaged'));
    assert.equal((await readdir(pool.layout.staging)).length, 3);
    assert.deepEqual(
      findFaults(pool).map(({ kind, remedy }) => [kind, remedy]),
      [['group', 'mend']],
    );
    const { mended, recovered } = await check(pool);
    assert.equal(mended, 1);
    assert.deepEqual(recovered, [basename(intent)], 'what was put in its place was not cleared away');
    const [one, two] = namesOf(pool);
    assert.match(one?.[0] ?? '', /^\d{8}T\d{6}Z$/);
    assert.deepEqual([one?.length, two], [1, one]);
    for (const [number, volume] of ['one', 'two'].entries()) {
      const { image } = pool.snapshots(volume)[0]!;
      assert.equal((await readFile(image))[0], number + 1);
    }
    assert.deepEqual([await readdir(pool.layout.staging), findFaults(pool)], [[], []]);
  });

  test('takes the name of the members that are in place', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const { staged } = await tornGroup(pool);
    await rename(staged[0]!, pool.layout.snapshot('one', 'both'));
    await check(pool);
    assert.deepEqual(namesOf(pool), [['both'], ['both']]);
    assert.deepEqual(await readdir(pool.layout.staging), []);
  });

  test('puts nothing more in place where a record is missing, and leaves what is', async () => {
    for (const lost of ['record', 'image'] as const) {
      await using small = await smallPool();
      const { pool } = small;
      const { staged } = await tornGroup(pool);
      if (lost === 'record') await truncate(join(staged[1]!, 'snapshot.json'), 5);
      else await rm(join(staged[1]!, 'image'));
      assert.match(findFaults(pool)[0]?.message ?? '', /nor what it says of two: the group is not whole/);
      await check(pool);
      assert.deepEqual(namesOf(pool), [[], []]);
      assert.deepEqual([await readdir(pool.layout.staging), findFaults(pool)], [[], []]);
    }
    await using small = await smallPool();
    const { pool } = small;
    const { staged } = await tornGroup(pool);
    await rename(staged[0]!, pool.layout.snapshot('one', 'both'));
    await rm(staged[1]!, { recursive: true });
    await check(pool);
    assert.deepEqual(namesOf(pool), [['both'], []]);
  });
});

describe('pool check of a group whose volume is gone', { skip: fileSystemsMissing('xfs') }, () => {
  test('puts the others in place; until then nobody changes the pool', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const { layout } = pool;
    const { staged, intent } = await tornGroup(pool);
    const members = ['one', 'two'].map((volume, at) => ({ staged: basename(staged[at]!), volume, snapshot: 'both' }));
    await writeFile(intent, JSON.stringify({ members }));
    await rm(layout.volume('one'), { recursive: true });
    await assert.rejects(takeSnapshots(pool, ['two@other']), (error) => hasCode(error, 'pool-damaged'));
    assert.deepEqual(
      findFaults(pool).map(({ message, remedy }) => [message, remedy]),
      [[`${intent}: its snapshots of one have no volume`, 'mend']],
    );
    assert.equal((await check(pool)).mended, 1);
    assert.deepEqual(
      pool.snapshots('two').map(({ snapshot: name }) => name),
      ['both'],
    );
    assert.deepEqual([await readdir(layout.staging), findFaults(pool)], [[], []]);
  });
});
