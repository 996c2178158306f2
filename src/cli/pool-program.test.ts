import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileSystems } from '../pool/run-mkfs.ts';
import { dray, refusesEach, type Run } from './program-fixtures.ts';
import type { CliParts } from './shell/cli-context.ts';
import { exitCodes } from './shell/exit-code.ts';
import { mkfsChoices } from './volume-create.ts';

test('command line of pools > each command turns its words into typed options', async () => {
  const expected: Readonly<Record<string, unknown>> = {
    'snapshot list --volume data': { volume: 'data' },
    'snapshot show data@mon': { snapshot: { volume: 'data', snapshot: 'mon' } },
    'snapshot delete data@mon data@tue --force': {
      snapshots: [
        { volume: 'data', snapshot: 'mon' },
        { volume: 'data', snapshot: 'tue' },
      ],
      dryRun: false,
      force: true,
    },
    'snapshot delete data@mon data@mon': {
      snapshots: [{ volume: 'data', snapshot: 'mon' }],
      dryRun: false,
      force: false,
    },
    'snapshot expire --volume data --volume data logs --keep-hourly 24 --keep-daily 0': {
      volumes: ['data', 'logs'],
      keep: { keepHourly: 24, keepDaily: 0 },
      named: false,
      dryRun: false,
    },
    'snapshot expire --all-volumes --keep-latest 1 --named --dry-run': {
      volumes: undefined,
      keep: { keepLatest: 1 },
      named: true,
      dryRun: true,
    },
    'snapshot create data --group data --name mon': { volumes: ['data'], name: 'mon', freezeBoundMs: 5000 },
    'snapshot create data': { volumes: ['data'], name: undefined, freezeBoundMs: 5000 },
    'snapshot create data logs --group --name mon --freeze-bound 300ms': {
      volumes: ['data', 'logs'],
      name: 'mon',
      freezeBoundMs: 300,
    },
    'snapshot attach data@mon': { snapshot: { volume: 'data', snapshot: 'mon' } },
    'snapshot detach data@mon': { snapshot: { volume: 'data', snapshot: 'mon' } },
    'changes 7f 8a': { from: '7f', to: '8a' },
    'changes data@mon logs@tue --parent 7f': {
      from: { volume: 'data', snapshot: 'mon' },
      to: { volume: 'logs', snapshot: 'tue' },
      parent: '7f',
    },
    'volume create data --size 10G': { name: 'data', sizeBytes: 10 * 1024 ** 3, sectorBytes: 4096, mkfs: undefined },
    'volume create data --size 1M --sector-size 512 --mkfs xfs': {
      name: 'data',
      sizeBytes: 1024 ** 2,
      sectorBytes: 512,
      mkfs: 'xfs',
    },
    'volume list': {},
    'volume show data': { name: 'data' },
    'volume attach data --read-only': { name: 'data', readOnly: true },
    'volume detach data': { name: 'data' },
    'volume resize data --size 2G --shrink --force': {
      name: 'data',
      sizeBytes: 2 * 1024 ** 3,
      shrink: true,
      force: true,
    },
    'volume clone data@mon copy': { from: { volume: 'data', snapshot: 'mon' }, name: 'copy' },
    'volume revert data@mon --dry-run': { to: { volume: 'data', snapshot: 'mon' }, force: false, dryRun: true },
    'volume delete data --with-snapshots': { name: 'data', withSnapshots: true, force: false, dryRun: false },
    'volume rewrite data data': { names: ['data'], watch: false, extentsMax: undefined },
    'volume rewrite data': { names: ['data'], watch: false, extentsMax: undefined },
    'pool create /p': { directory: '/p', image: undefined },
    'pool create --image i --size 50G': { directory: undefined, image: { path: 'i', sizeBytes: 50 * 1024 ** 3 } },
    'pool open': { directory: undefined, image: undefined },
    'pool open /p --image i': { directory: '/p', image: 'i' },
    'pool status': { directory: undefined },
    'pool check /p --dry-run --remove-damaged': {
      directory: '/p',
      dryRun: true,
      removeDamaged: true,
      removeUnfinished: false,
    },
    'pool check --remove-unfinished': {
      directory: undefined,
      dryRun: false,
      removeDamaged: false,
      removeUnfinished: true,
    },
    'pool forget s3://b --dry-run': { repository: 's3://b', dryRun: true },
  };
  for (const [line, options] of Object.entries(expected)) {
    const ran = await dray(line);
    assert.equal(ran.code, 0, `${line}: ${ran.stderr}`);
    assert(line.startsWith(ran.command ?? 'none'), `${line} ran ${ran.command}`);
    assert.deepEqual(ran.options, options, line);
  }
});

test('command line of pools > words that hold an @ go to the pool, all others to the repository', async () => {
  const ran = async (line: string): Promise<string | undefined> => (await dray(line)).command;
  assert.equal(await ran('snapshot show data@mon'), 'snapshot show data@');
  assert.equal(await ran('snapshot show 7f'), 'snapshot show');
  assert.equal(await ran('snapshot delete data@mon'), 'snapshot delete data@');
  assert.equal(await ran('snapshot delete 7f'), 'snapshot delete');
  assert.equal(await ran('snapshot list ann@host:/v'), 'snapshot list');
  assert.equal(await ran('changes data@mon data@tue'), 'changes data@');
  assert.equal(await ran('changes 7f 8a'), 'changes');
});

test('command line of pools > wrong usage exits with 2, runs nothing, and says what is wrong', async () => {
  const expected: Readonly<Record<string, RegExp>> = {
    'snapshot list /v --volume data': /cannot be used with a source/,
    'snapshot list --volume data --incomplete': /cannot be used with/,
    'snapshot expire --all-volumes': /a pool has no policy: say what stays/,
    'snapshot expire --volume data --dry-run': /a pool has no policy: say what stays/,
    'snapshot expire --volume data --keep-daily 0 --keep-latest 0': /nothing would stay/,
    'snapshot expire --volume data@mon --keep-daily 1':
      /"data@mon" names a snapshot; a volume is meant here, as "data"/,
    'snapshot expire /v --all-volumes --keep-daily 1': /cannot be used with a source/,
    'snapshot expire --volume data --all-volumes --keep-daily 1': /cannot be used with/,
    'snapshot expire /v --named': /'--named' is only for '--volume' and '--all-volumes'/,
    'snapshot show a@b@c': /"a@b@c" is not of the form VOLUME@SNAPSHOT/,
    'snapshot delete data@mon 7f': /some are of the pool and some of the repository/,
    'snapshot create': /missing required argument 'volume'/,
    'snapshot create data logs': /several volumes are one group: say '--group'/,
    'snapshot create da/ta': /"da\/ta" cannot be the name of a volume/,
    'snapshot create data.': /"data." cannot be the name of a volume: .* not ending with a point/,
    'snapshot create data@mon': /"data@mon" names a snapshot; a volume is meant here, as "data"/,
    'snapshot diff data@mon data@tue': /snapshots of a pool are compared by 'dray changes'/,
    'snapshot create data --name .mon': /".mon" cannot be the name of a snapshot/,
    'snapshot create data --freeze-bound 5': /write it as 500ms or 5s/,
    'changes data@mon 7f': /one is of the pool and one of the repository/,
    'changes 7f 8a --parent 9c': /'--parent' is only for snapshots of the pool/,
    'changes data@mon data@tue --parent data@mon': /must be the id of a snapshot of the repository/,
    'volume create data': /required option '--size <size>' not specified/,
    'volume create data --size 1M --sector-size 1024': /Allowed choices are 512, 4096/,
    'volume create data --size 1M --mkfs ntfs': /Allowed choices are ext4, xfs/,
    'volume clone data copy': /"data" is not of the form VOLUME@SNAPSHOT/,
    'volume resize data --size 1M --force': /'--force' is only for '--shrink'/,
    'pool create /p --image i': /'--image' needs '--size'/,
    'pool create /p --size 1G': /'--size' is only for '--image'/,
    'pool statsu': /Did you mean status\?/,
  };
  await refusesEach(expected);
});

test('command line of pools > the pool is what --pool or the environment names', async () => {
  const pool = async (line: string, env: CliParts['env']): Promise<readonly unknown[]> => {
    let seen: readonly unknown[] = [];
    const look: Run = async (context) => {
      seen = [context.poolNamed, context.poolPath(), context.poolPath('/named')];
      return await Promise.resolve(exitCodes.done);
    };
    const { code, stderr } = await dray(line, look, { env });
    return code === 0 ? seen : [code, stderr];
  };
  assert.deepEqual(await pool('volume list', { DRAY_POOL: '/env' }), [true, '/env', '/named']);
  assert.deepEqual(await pool('volume list --pool /p', { DRAY_POOL: '/env' }), [true, '/p', '/named']);
  const [code, stderr] = await pool('volume list', { DRAY_POOL: '' });
  assert.equal(code, 2);
  assert.match(String(stderr), /no pool is named: use --pool DIR, or set DRAY_POOL/);
});

test('command line of pools > the file systems that help offers are those that a pool makes', () => {
  assert.deepEqual([...mkfsChoices].sort(), [...fileSystems].sort());
});
