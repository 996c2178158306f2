import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compressorNames } from '../repository/content/compression.ts';
import { isEncryptionName } from '../repository/format/encryption.ts';
import { hashNames } from '../repository/format/hashing.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { dray, refusesEach, type Run } from './program-fixtures.ts';
import { compressionChoices, encryptionChoices, hashChoices } from './repository-create.ts';
import type { CliParts } from './shell/cli-context.ts';
import { Interrupted } from './shell/cli-error.ts';
import { exitCodes } from './shell/exit-code.ts';

test('command line > each command turns its words into typed options', async () => {
  const pace = { parallel: undefined, rateBytesPerSecond: undefined };
  const backup = {
    source: 'a.img',
    parent: 'auto',
    changesPath: undefined,
    bitmap: undefined,
    freezeBoundMs: 5000,
    trustMtime: false,
    trustChanges: false,
    tags: {},
    sourceId: undefined,
    compression: undefined,
    layout: 'tree',
    force: false,
    strict: false,
    ...pace,
  };
  const restore = {
    snapshot: '7f',
    target: 't.img',
    overwrite: false,
    delta: false,
    dryRun: false,
    force: false,
    sectorBytes: undefined,
    owners: true,
    include: [],
    exclude: [],
    ...pace,
  };
  const create = {
    url: undefined,
    formatVersion: 3,
    hash: 'BLAKE3-256',
    encryption: 'AES256-GCM-HMAC-SHA256',
    splitter: 'DYNAMIC-4M-BUZHASH',
    eccOverheadPercent: 0,
    retentionMode: undefined,
    retentionPeriodMs: undefined,
    compression: 'zstd-fastest',
    keyDerivation: 'scrypt-65536-8-1',
  };
  const expected: Readonly<Record<string, unknown>> = {
    'backup a.img': backup,
    'backup a.img --tag a=b --tag c=d=e --parallel 3 --rate-limit 10M --parent 7f --changes c.json --strict --force': {
      ...backup,
      tags: { a: 'b', c: 'd=e' },
      parallel: 3,
      rateBytesPerSecond: 10 * 1024 ** 2,
      parent: '7f',
      changesPath: 'c.json',
      strict: true,
      force: true,
    },
    'backup nbd://h/x --bitmap b': { ...backup, source: 'nbd://h/x', bitmap: 'b' },
    'backup --trust-mtime --trust-changes --source-id s --compression none --layout flat a.img': {
      ...backup,
      trustMtime: true,
      trustChanges: true,
      sourceId: 's',
      compression: 'none',
      layout: 'flat',
    },
    'restore 7f t.img': restore,
    'restore 7f t.img --delta --dry-run --force': { ...restore, delta: true, dryRun: true, force: true },
    'restore 7f/etc t/ --no-owners --include *.conf --exclude a --exclude b/': {
      ...restore,
      snapshot: '7f/etc',
      target: 't/',
      owners: false,
      include: ['*.conf'],
      exclude: ['a', 'b/'],
    },
    'repository create': create,
    'repository create /r --format-version 2 --hash BLAKE2S-128': {
      ...create,
      url: '/r',
      formatVersion: 2,
      hash: 'BLAKE2S-128',
    },
    'repository status': {},
    'repository verify': { snapshots: [], level: 'present', sample: 1, ...pace },
    'repository verify 7f 8a --level data --sample 5%': {
      snapshots: ['7f', '8a'],
      level: 'data',
      sample: 0.05,
      ...pace,
    },
    'repository maintain': { mode: 'auto', dryRun: false, owner: undefined },
    'repository maintain --full --dry-run': { mode: 'full', dryRun: true, owner: undefined },
    'repository maintain --quick': { mode: 'quick', dryRun: false, owner: undefined },
    'repository maintain --owner me': { mode: 'auto', dryRun: false, owner: 'me' },
    'repository password --new-password-file f': { newPassword: { file: 'f', command: undefined } },
    'snapshot ls 7f/etc -l --recursive': { snapshot: '7f/etc', long: true, recursive: true },
    'snapshot cat 7f/etc/hosts': { snapshot: '7f/etc/hosts' },
    'snapshot list': { source: undefined, tags: {}, incomplete: false },
    'snapshot list /v --tag a=b --incomplete': { source: '/v', tags: { a: 'b' }, incomplete: true },
    'snapshot show 7f': { snapshot: '7f' },
    'snapshot diff 7f 8a': { from: '7f', to: '8a' },
    'snapshot delete 7f 8a --dry-run': { snapshots: ['7f', '8a'], dryRun: true, force: false },
    'snapshot expire': { source: undefined, keep: {}, dryRun: false },
    'snapshot expire /v --keep-latest 3 --keep-annual 0': {
      source: '/v',
      keep: { keepLatest: 3, keepAnnual: 0 },
      dryRun: false,
    },
    'snapshot pin 7f': { snapshot: '7f', labels: ['keep'], remove: false },
    'snapshot pin 7f a b': { snapshot: '7f', labels: ['a', 'b'], remove: false },
    'snapshot pin 7f --remove': { snapshot: '7f', labels: [], remove: true },
    tour: { keep: false, folder: undefined, sizeBytes: 384 * 1024 ** 2 },
    'tour --keep --size 1G': { keep: true, folder: undefined, sizeBytes: 1024 ** 3 },
  };
  for (const [line, options] of Object.entries(expected)) {
    const ran = await dray(line);
    assert.equal(ran.code, 0, `${line}: ${ran.stderr}`);
    assert(line.startsWith(ran.command ?? 'none'), `${line} ran ${ran.command}`);
    assert.deepEqual(ran.options, options, line);
  }
});

test('command line > wrong usage exits with 2, runs nothing, and says what is wrong', async () => {
  const expected: Readonly<Record<string, RegExp>> = {
    bakup: /Did you mean backup\?/,
    'snapshot lsit': /Did you mean list\?/,
    'backup a.img --paralel 2': /Did you mean --parallel\?/,
    backup: /missing required argument 'source'/,
    'backup a b': /too many arguments/,
    'backup a --parallel 0': /whole number from 1 to 256/,
    'backup a --rate-limit fast': /"fast" is not a size/,
    'backup a --tag x': /key=value/,
    'backup a --changes c --trust-mtime': /cannot be used with/,
    'backup a --changes c --bitmap b': /cannot be used with/,
    'backup a --trust-mtime --bitmap b': /cannot be used with/,
    'restore 7f t --delta --overwrite': /cannot be used with/,
    'repository create --hash MD5': /Allowed choices are BLAKE3-256/,
    'repository verify --sample 0%': /percentage/,
    'repository verify --sample 5%': /only for '--level data'/,
    'repository maintain --full --quick': /cannot be used with/,
    'repository maintain --owner me --full': /cannot be used with/,
    'snapshot expire --keep-daily -1': /whole number from 0/,
    'snapshot list -o xml': /Allowed choices are table, json, yaml, name/,
    repository: /Usage: dray repository/,
  };
  await refusesEach(expected);
});

test('command line > help and version are results', async () => {
  assert.deepEqual(await dray('--version').then(({ code, stdout }) => [code, stdout]), [0, '1.2.3\n']);
  for (const line of ['--help', 'backup --help', 'help snapshot', 'snapshot diff -h']) {
    const { code, stdout, stderr } = await dray(line);
    assert.deepEqual([code, stderr], [0, ''], line);
    assert.match(stdout, /^Usage: dray/);
  }
  assert.match((await dray('backup -h')).stdout, /Examples:\n {2}\$ dray backup/);
});

test('command line > shared options may stand anywhere, and win over the environment', async () => {
  const seen = async (line: string, env: CliParts['env'] = {}): Promise<readonly unknown[]> => {
    let facts: readonly unknown[] = [];
    const { code, stderr } = await dray(
      line,
      async (context) => {
        facts = [context.repositoryUrl(), await context.password(), context.cacheDirectory(), context.output.format];
        return exitCodes.done;
      },
      { env },
    );
    assert.equal(code, 0, stderr);
    return facts;
  };
  const env = { DRAY_REPOSITORY: '/env', DRAY_PASSWORD: 'pw', DRAY_CACHE_DIR: '/cache' };
  assert.deepEqual(await seen('snapshot list', env), ['/env', 'pw', '/cache', 'table']);
  const options = ['-r', '/r', '--cache-dir', '/c', '-o', 'json'].join(' ');
  for (const line of [`${options} snapshot list`, `snapshot ${options} list`, `snapshot list ${options}`]) {
    assert.deepEqual(await seen(line, env), ['/r', 'pw', '/c', 'json'], line);
  }
  const cacheOf = async (xdg: string): Promise<unknown> =>
    (await seen('snapshot list', { ...env, DRAY_CACHE_DIR: '', XDG_CACHE_HOME: xdg }))[2];
  assert.equal(await cacheOf('/xdg'), '/xdg/drayage');
  assert.equal(await cacheOf('relative'), '/home/ann/.cache/drayage');
});

test('command line > the identity is that of kopia: the user and the short host name in lower case', async () => {
  const identity = async (line: string): Promise<unknown> => {
    let seen: unknown;
    const { code } = await dray(line, async (context) => {
      seen = context.identity;
      return await Promise.resolve(exitCodes.done);
    });
    return code === 0 ? seen : code;
  };
  assert.deepEqual(await identity('snapshot list'), { userName: 'ann', host: 'host-1' });
  assert.deepEqual(await identity('snapshot list --identity a@b@c'), { userName: 'a@b', host: 'c' });
  for (const text of ['ann', '@host', 'ann@']) assert.equal(await identity(`snapshot list --identity ${text}`), 2);
});

test('command line > a failing command is reported on stderr with its status, and nothing of its arguments', async () => {
  const failing =
    (error: Error): Run =>
    async () =>
      await Promise.reject(error);
  const ran = await dray(
    'repository create s3://key:hush@host',
    failing(new RepositoryError('corrupt', 'open the format')),
  );
  assert.deepEqual([ran.code, ran.stdout], [4, '']);
  assert.match(ran.stderr, /^dray repository create: open the format\n {2}next: /);
  assert(!ran.stderr.includes('hush'));
  const unnamed = await dray(
    'snapshot list',
    async (context) => await Promise.reject(new Error(context.repositoryUrl())),
  );
  assert.equal(unnamed.code, 2);
  assert.match(unnamed.stderr, /--repository URL, or set DRAY_REPOSITORY/);
});

test('command line > whatever fails after Ctrl-C, the status is 130', async () => {
  const controller = new AbortController();
  const body: Run = async () => {
    controller.abort(new Interrupted('SIGINT'));
    return await Promise.reject(new RepositoryError('corrupt', 'half a file'));
  };
  assert.equal((await dray('backup a.img', body, { signal: controller.signal })).code, 130);
});

test('command line > a command may end in another status without an error', async () => {
  assert.equal((await dray('backup a.img --strict', async () => await Promise.resolve(exitCodes.degraded))).code, 6);
});

test('command line > remarks go to stderr as the level and --quiet say', async () => {
  const talk: Run = async ({ log }) => {
    log.debug('d');
    log.info('i');
    log.warn('w\u001b[2J');
    return await Promise.resolve(exitCodes.done);
  };
  const told = async (line: string): Promise<string> => (await dray(line, talk)).stderr;
  assert.equal(await told('tour'), 'i\nwarning: w\\u{1b}[2J\n');
  assert.equal(await told('tour -q'), 'warning: w\\u{1b}[2J\n');
  assert.equal(await told('tour --log-level error'), '');
  assert.equal(await told('tour --log-level debug'), 'debug: d\ni\nwarning: w\\u{1b}[2J\n');
});

test('command line > colour is for terminals, and not with NO_COLOR', async () => {
  const color = async (isTTY: boolean, env: CliParts['env']): Promise<boolean | undefined> => {
    let seen: boolean | undefined;
    const look: Run = async ({ output }) => {
      seen = output.color;
      return await Promise.resolve(exitCodes.done);
    };
    await dray('tour', look, { env, stdout: { isTTY, write: () => true } });
    return seen;
  };
  assert.equal(await color(true, {}), true);
  assert.equal(await color(false, {}), false);
  assert.equal(await color(true, { NO_COLOR: '1' }), false);
});

test('command line > the choices that help offers are those that the repository knows', () => {
  assert.deepEqual([...hashChoices].sort(), [...hashNames].sort());
  assert.deepEqual([...compressionChoices].sort(), [...compressorNames].sort());
  assert(encryptionChoices.every(isEncryptionName));
});
