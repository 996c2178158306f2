/**
 * What can go wrong for a user, on the real program: the exit status, what the message names, and what it says to do.
 * What needs root or loop devices is in `errors-devices.test.ts`.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, truncate, unlink, writeFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { parseJson, isJsonObject } from '../../src/std/lossless-json.ts';
import { stringifyJson } from '../../src/std/write-json.ts';
import { decodeFormatBlob, withSealedConfig } from '../../src/repository/format/format-blob.ts';
import { formatEnvelopeKey, openEnvelope, sealEnvelope } from '../../src/repository/format/envelope.ts';
import { deriveFormatKey } from '../../src/repository/format/key-derivation.ts';
import { systemRng } from '../../src/std/rng.ts';
import { hasCounted } from '../support/run-and-kill.ts';
import { drayJson, runDray, startDray, type BackupPrinted, type DrayPlace } from '../support/run-dray.ts';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { firstDifference, writeVolume } from '../support/volume-model.ts';
import { inRepository, putFiles, putPolicy } from './put-manifests.ts';
import { check } from './told.ts';

const mib = 1024 * 1024;
const dray = join(import.meta.dirname, '../../bin/dray');
const { signal } = new AbortController();

describe('the user is told', () => {
  let folder: TemporaryFolder;
  let place: DrayPlace;
  let source: string;
  let snapshot: string;

  before(async () => {
    folder = await temporaryFolder('errors');
    const { path } = folder;
    place = { repository: join(path, 'repository'), cache: join(path, 'cache'), password: 'right' };
    source = join(path, 'volume.img');
    await writeVolume(source, { sizeBytes: mib + 5, pieces: [{ offset: 0, lengthBytes: mib, kind: 'text', seed: 1 }] });
    assert.equal((await runDray(place, ['repository', 'create'])).exitCode, 0);
    snapshot = (await drayJson<BackupPrinted>(place, ['backup', source])).snapshot;
  });
  after(async () => await folder[Symbol.asyncDispose]());

  test('that the password is wrong', async () => {
    const run = await runDray({ ...place, password: 'wrong' }, ['snapshot', 'list']);
    check(run, { exit: 1, says: [/password does not open/, /next: Check DRAY_PASSWORD/] });
  });

  test('that there is no repository: no folder, an empty one, one with other things', async () => {
    const missing = join(folder.path, 'nowhere');
    const there = await runDray({ ...place, repository: missing }, ['snapshot', 'list']);
    check(there, { exit: 3, says: [new RegExp(missing), /next: .*URL/] });
    const empty = join(folder.path, 'empty');
    await mkdir(empty);
    const nothing = await runDray({ ...place, repository: empty }, ['snapshot', 'list']);
    check(nothing, { exit: 3, says: [new RegExp(`${empty} is empty`), /dray repository create/] });
    await writeFile(join(empty, 'letter.txt'), 'Dear reader');
    const foreign = await runDray({ ...place, repository: empty }, ['snapshot', 'list']);
    check(foreign, { exit: 3, says: [new RegExp(`${empty} `), /next: /] });
    assert.deepEqual(await readdir(empty), ['letter.txt'], 'something was written there');
    const refused = await runDray({ ...place, repository: empty }, ['repository', 'create']);
    check(refused, { exit: 1, says: [/is not empty: it holds letter\.txt/, /next: .*empty or new/] });
    assert.deepEqual(await readdir(empty), ['letter.txt']);
  });

  test('that the repository is of a newer format', async () => {
    const newer = join(folder.path, 'newer');
    await mkdir(newer);
    const blob = decodeFormatBlob(await readFile(join(place.repository, 'kopia.repository.f')));
    const key = formatEnvelopeKey(await deriveFormatKey(place.password, blob), blob.uniqueId);
    const config = parseJson(Buffer.from(openEnvelope(key, blob.sealedConfig)!).toString());
    assert.ok(isJsonObject(config) && isJsonObject(config['format']!));
    const changed = stringifyJson({ ...config, format: { ...config['format'], version: 4 } });
    const bytes = withSealedConfig(blob, sealEnvelope(key, Buffer.from(changed), systemRng));
    await writeFile(join(newer, 'kopia.repository.f'), bytes);
    const run = await runDray({ ...place, repository: newer }, ['snapshot', 'list']);
    check(run, { exit: 1, says: [/version/, /next: Use a newer dray/] });
  });

  test('that the source is not there, or is none', async () => {
    const run = await runDray(place, ['backup', join(folder.path, 'no.img')]);
    check(run, { exit: 3, says: [/no\.img/, /next: Check the path/] });
    check(await runDray(place, ['backup', folder.path]), {
      exit: 2,
      says: [/neither a regular file nor/, /next: Give/],
    });
  });

  test('that the source shrank, vanished or was written to while it was read, and no snapshot is kept', async () => {
    const long = join(folder.path, 'long.img');
    const before = await snapshots();
    const spoil: Readonly<Record<string, () => Promise<void>>> = {
      shrank: async () => await truncate(long, mib),
      vanished: async () => await unlink(long),
      changed: async () => {
        await using file = await open(long, 'r+');
        await file.write('!', 7);
      },
    };
    for (const [how, work] of Object.entries(spoil)) {
      const random = { offset: 0, lengthBytes: 300 * mib, kind: 'random', seed: 3 } as const;
      await writeVolume(long, { sizeBytes: 300 * mib, pieces: [random] });
      // At this rate the reading is far from its end when the file is spoilt.
      const run = startDray(place, ['backup', long, '--rate-limit', '100MiB']);
      await hasCounted(run, 'rchar', 60 * mib);
      await work();
      const says = [
        /long\.img/,
        /shorter|shrank|removed or replaced|written to/,
        /next: Back up something that stands/,
      ];
      check(await run.ended, { exit: 1, says });
      assert.equal(await snapshots(), before, how);
    }
  });

  test('that the target exists, and what can be done about it', async () => {
    const target = join(folder.path, 'taken.img');
    await writeFile(target, 'mine');
    const run = await runDray(place, ['restore', snapshot, target]);
    check(run, { exit: 1, says: [/taken\.img exists/, /--overwrite .* --delta/] });
    assert.equal(await readFile(target, 'utf8'), 'mine');
    const nowhere = await runDray(place, ['restore', snapshot, join(folder.path, 'no', 'such', 'folder.img')]);
    check(nowhere, { exit: 3, says: [/folder\.img/, /next: Check the path/] });
  });

  test('that a snapshot or a parent is not there', async () => {
    const run = await runDray(place, ['backup', source, '--parent', 'deadbeef']);
    check(run, { exit: 3, says: [/deadbeef/, /next: "dray snapshot list"/] });
    const restore = await runDray(place, ['restore', 'deadbeef', join(folder.path, 'x.img')]);
    check(restore, { exit: 3, says: [/deadbeef/, /next: "dray snapshot list"/] });
  });

  test('what is wrong with a change list', async () => {
    const path = join(folder.path, 'changes.json');
    const extents = [{ offset: 0, length: 100 * mib }];
    const lists = [
      ['not JSON', 'no JSON at all', 2, /not JSON/],
      ['of the wrong shape', '{"parent": "ab", "extents": [{"offset": -1, "length": 5}]}', 2, /extents\.0\.offset/],
      ['past the end', JSON.stringify({ parent: snapshot, extents }), 2, /ends past the volume/],
      ['of an unknown parent', JSON.stringify({ parent: 'deadbeef', extents: [] }), 3, /deadbeef/],
    ] as const;
    for (const [, text, exit, says] of lists) {
      await writeFile(path, text);
      check(await runDray(place, ['backup', source, '--changes', path]), { exit, says: [says] });
    }
    await rm(path);
    const missing = await runDray(place, ['backup', source, '--changes', path]);
    check(missing, { exit: 2, says: [/changes\.json/] });
  });

  test('that the result could not be written', () => {
    const run = spawnSync('sh', ['-c', `'${dray}' --version > /dev/full`], { encoding: 'utf8' });
    assert.equal(run.status, 1);
    assert.match(run.stderr, /^dray: the result could not be written to standard output: ENOSPC/);
  });

  test('by the status alone when nobody reads the result to its end', async () => {
    const run = spawn(dray, ['--version'], { stdio: ['ignore', 'pipe', 'pipe'] });
    run.stdout.destroy();
    const said = text(run.stderr);
    assert.deepEqual(await once(run, 'exit'), [141, null]);
    assert.equal(await said, '');
  });

  test('that the cache cannot be made, and where it may be', async () => {
    const file = join(folder.path, 'cache-file');
    await writeFile(file, 'mine');
    for (const cache of ['/proc/x', file, join(folder.path, 'n'.repeat(300))]) {
      const run = await runDray({ ...place, cache }, ['snapshot', 'list']);
      check(run, { exit: 1, says: [new RegExp(`the cache folder.* ${cache}|${cache}.*the cache folder`)] });
      if (cache.length < 300) assert.match(run.stderr, /next: .*choose another place.*DRAY_CACHE_DIR/);
    }
  });

  test('that the name of a volume is too long, or is not UTF-8', async () => {
    const long = join(folder.path, 'n'.repeat(300));
    const says = [/next: The name is longer than the system takes: use a shorter one/];
    check(await runDray(place, ['backup', long]), { exit: 1, says });
    check(await runDray(place, ['restore', snapshot, long]), { exit: 1, says });
    const notUtf8 = join(folder.path, 'caf\uFFFD.img');
    for (const words of [
      ['backup', notUtf8],
      ['restore', snapshot, notUtf8],
    ]) {
      const { exitCode, stderr } = await runDray(place, words);
      assert.equal(exitCode, 2, stderr);
      assert.match(stderr, /not UTF-8: rename it, or make a link/);
    }
  });

  test('that a snapshot is pinned, and how the pins come off', async () => {
    const { snapshot: pinned } = await drayJson<BackupPrinted>(place, ['backup', source]);
    await drayJson(place, ['snapshot', 'pin', pinned, 'audit']);
    const run = await runDray(place, ['snapshot', 'delete', pinned]);
    check(run, { exit: 5, says: [/is pinned \(audit\)/, /next: .*dray snapshot pin SNAPSHOT --remove.*--force/] });
    await drayJson(place, ['snapshot', 'pin', pinned, '--remove']);
    assert.equal((await runDray(place, ['snapshot', 'delete', pinned])).exitCode, 0);
  });

  test('that the policy names a compressor that is not there yet, and how to do without', async () => {
    const other = { ...place, repository: join(folder.path, 'other-policy') };
    assert.equal((await runDray(other, ['repository', 'create'])).exitCode, 0);
    await putPolicy(other, { compression: { compressorName: 's2-none' } });
    const run = await runDray(other, ['backup', source]);
    check(run, { exit: 1, says: [/s2-none; known are /, /next: Name another one for this run with --compression/] });
    assert.equal((await runDray(other, ['backup', source, '--compression', 'zstd'])).exitCode, 0);
  });

  test('that a snapshot is of files and folders, what is not done to them, and which of them is damaged', async () => {
    const files = await putFiles(place);
    const target = join(folder.path, 'files');
    const delta = { exit: 2, says: [/--delta is for volumes/] };
    check(await runDray(place, ['restore', files, target, '--delta']), delta);
    const damaged = { exit: 4, says: [/left out a: content \S+ has \d+ bytes, not 0/, /left out b: /] };
    check(await runDray(place, ['restore', files, target]), damaged);
    check(await runDray(place, ['restore', `${files}/c`, target]), {
      exit: 3,
      says: [/has no entry "c"/, /snapshot ls/],
    });
    const says = [/is not the image of one volume/, /next: "dray snapshot show" tells what a snapshot is of/];
    check(await runDray(place, ['snapshot', 'diff', files, snapshot]), { exit: 2, says });
    check(await runDray(place, ['backup', source, '--parent', files]), { exit: 2, says });
    assert.equal((await runDray(place, ['snapshot', 'delete', files])).exitCode, 0);
  });

  test('how many snapshots and writers have been left unfinished', async () => {
    const status = async (): Promise<{ incompleteSnapshots: number; openSessions: number }> =>
      await drayJson(place, ['repository', 'status']);
    const before = await status();
    assert.equal(typeof before.incompleteSnapshots, 'number');
    await inRepository(place, async (repository) => {
      await using _left = await repository.writer({ userName: 'tester', host: 'here' }, { signal });
      assert.equal((await status()).openSessions, before.openSessions + 1);
    });
  });

  test('nothing, when two backups of one source run at once: both are whole', async () => {
    const twice = join(folder.path, 'twice.img');
    const random = { offset: 0, lengthBytes: 120 * mib, kind: 'random', seed: 4 } as const;
    await writeVolume(twice, { sizeBytes: 128 * mib + 1, pieces: [random] });
    const other = { ...place, cache: join(folder.path, 'other-cache') };
    const runs = await Promise.all([place, other].map((at) => drayJson<BackupPrinted>(at, ['backup', twice])));
    assert.notEqual(runs[0]!.snapshot, runs[1]!.snapshot);
    for (const run of runs) {
      const target = join(folder.path, `${run.snapshot}.img`);
      assert.equal((await runDray(place, ['restore', run.snapshot, target])).exitCode, 0);
      assert.equal(await firstDifference(twice, target), undefined);
    }
    assert.equal((await runDray(place, ['repository', 'verify', '--level', 'data'])).exitCode, 0);
  });

  async function snapshots(): Promise<number> {
    return (await drayJson<readonly unknown[]>(place, ['snapshot', 'list'])).length;
  }
});
