import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlobError } from '../../blobs/blob-store.ts';
import { FreezeError } from '../../kernel/freeze-guard.ts';
import { KernelError } from '../../kernel/sys.ts';
import { PoolError } from '../../pool/pool-error.ts';
import { RepositoryError } from '../../repository/repository-error.ts';
import { DrayError } from '../../std/dray-error.ts';
import { VolumeError } from '../../volume/block-source.ts';
import { CliError, Interrupted } from './cli-error.ts';
import { errorReport } from './error-report.ts';
import { exitCodeOf } from './exit-code.ts';

class LaterError extends DrayError<'a code that the table does not know'> {}

const report = (error: unknown): string => errorReport(error, { attempted: 'backup', stacks: false });

test('exit codes > are those that the documentation promises', () => {
  const expected: readonly (readonly [unknown, number])[] = [
    [new CliError('usage', ''), 2],
    [new RepositoryError('snapshot-ambiguous', ''), 2],
    [new VolumeError('volume-not-found', ''), 3],
    [new RepositoryError('repository-missing', ''), 3],
    [new RepositoryError('snapshot-missing', ''), 3],
    [new RepositoryError('corrupt', ''), 4],
    [new RepositoryError('content-missing', ''), 4],
    [new VolumeError('volume-busy', ''), 5],
    [new RepositoryError('repository-locked', ''), 5],
    [new PoolError('pool-volume-missing', ''), 3],
    [new PoolError('pool-damaged', ''), 4],
    [new PoolError('pool-in-use', ''), 5],
    [new PoolError('pool-name', ''), 2],
    [new Interrupted('SIGINT'), 130],
    [new RepositoryError('repository-password', ''), 1],
    [new BlobError('blob-no-space', ''), 1],
    [new Error('anything else'), 1],
    [undefined, 1],
    ['a string', 1],
  ];
  for (const [error, code] of expected) assert.equal(exitCodeOf(error), code, String(error));
});

test('exit codes > the outermost code that is known decides', () => {
  const missing = new BlobError('blob-not-found', 'get p1');
  assert.equal(exitCodeOf(new RepositoryError('corrupt', 'read', { cause: missing })), 4);
  assert.equal(
    exitCodeOf(new RepositoryError('repository-password', 'open', { cause: new RepositoryError('corrupt', '') })),
    1,
  );
  assert.equal(exitCodeOf(new LaterError('a code that the table does not know', 'run', { cause: missing })), 3);
  assert.equal(exitCodeOf(new AggregateError([missing, new Error('other')])), 3);
  assert.equal(exitCodeOf(new SuppressedError(new Error('while closing'), missing)), 3);
});

test('error report > says what was attempted, the chain of causes, and what to do next', () => {
  const system = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  const error = new BlobError('blob-no-space', 'put p7f3a into /backups', { cause: system });
  assert.equal(
    report(error),
    [
      'dray backup: put p7f3a into /backups',
      '  because: ENOSPC: no space left on device, write',
      '  next: Make room where the repository lies and run the command again; what a checkpoint has kept is not done again.',
      '',
    ].join('\n'),
  );
});

test('error report > a broken invariant is called a defect and shows its stack; a system error is none', () => {
  assert.match(report(new TypeError('x is not a function')), /defect of dray(.|\n)*error-report\.test\.ts/);
  const system = Object.assign(new Error('EACCES: mkdir'), { errno: -13, syscall: 'mkdir', code: 'EACCES' });
  assert.equal(report(system), 'dray backup: EACCES: mkdir\n');
});

test('error report > ends when a cause bites its tail, and lets no control character through', () => {
  const error = new VolumeError('volume-io', 'read \u001b]0;owned\u0007');
  error.cause = error;
  assert.match(report(error), /^dray backup: read \\u\{1b\}\]0;owned\\u\{7\}\n {2}next: [^\n]*\n$/);
});

test('error report > what failed while cleaning up is told beside what failed first', () => {
  const first = new RepositoryError('corrupt', 'open content k1');
  const text = report(new SuppressedError(new Error('close the file'), first));
  assert.match(text, /^dray backup: open content k1\n {2}next: .*\n {2}while cleaning up: close the file\n$/);
});

test('error report > too many open files are no defect, and the advice is about them', () => {
  const cause = Object.assign(new Error('EMFILE: too many open files, open /a'), { code: 'EMFILE' });
  const inStore = report(new BlobError('blob-unavailable', 'get p1', { cause }));
  const inThread = report(new Error('Worker initialization failure: EMFILE'));
  for (const text of [inStore, inThread]) {
    assert.match(text, /next: .*--parallel.*ulimit -n/);
    assert.doesNotMatch(text, /defect/);
  }
});

test('error report > what the system refuses about a pool has advice of its own for each reason', () => {
  const refused = (errno: string): string => {
    const cause = Object.assign(new Error(`${errno}: refused, open '/srv/pool/x'`), { code: errno });
    return report(new PoolError('pool-io', 'change the pool /srv/pool', { cause }));
  };
  const expected: Readonly<Record<string, RegExp>> = {
    ENOENT: /next: It is not there: check the path/,
    EROFS: /next: It is mounted read-only/,
    ENOSPC: /next: The file system is full/,
    EDQUOT: /next: A quota is used up/,
    EACCES: /next: Devices, mounts and images need root/,
    EPERM: /next: Devices, mounts and images need root/,
    EIO: /next: Look at "dmesg"/,
  };
  for (const [errno, advice] of Object.entries(expected)) {
    assert.match(refused(errno), advice);
    const kernel = new KernelError('ioctl 0x4c82', errno);
    assert.match(
      report(new PoolError('pool-image', 'mount p.img', { cause: kernel })),
      errno === 'EIO' ? /Check where the image is/ : advice,
    );
  }
});

test('error report > of a freeze that failed the reason tells what to do', () => {
  const stuck = new FreezeError('freeze-stuck', 'thaw /mnt/data');
  const error = new PoolError('pool-freeze', 'the file systems could not be held still', { cause: stuck });
  assert.match(report(error), /next: .*fsfreeze --unfreeze MOUNTPOINT/);
  assert.match(report(new PoolError('pool-freeze', 'let go after 5000 ms')), /next: .*--freeze-bound/);
});
