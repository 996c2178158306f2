/** What is told goes into files that the disk below does not keep. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdtempDisposable, readFile, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const dray = join(import.meta.dirname, '../../bin/dray');
const missing = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0 ? false : 'needs strace';

test('output into a file > that cannot be flushed does not keep a command from ending', { skip: missing }, async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-output-'));
  const inFolder = (name: string): string => join(folder.path, name);
  const env = {
    ...process.env,
    DRAY_REPOSITORY: inFolder('repository'),
    DRAY_CACHE_DIR: inFolder('cache'),
    DRAY_PASSWORD: 'secret',
  };
  spawnSync(dray, ['repository', 'create'], { env });
  await writeFile(inFolder('disk.img'), 'disk');
  await truncate(inFolder('disk.img'), 4096);
  const [out, err] = [inFolder('out'), inFolder('err')];
  const files = [openSync(out, 'w'), openSync(err, 'w')] as const;
  const inject = [
    '-f',
    '-o',
    '/dev/null',
    '-P',
    out,
    '-P',
    err,
    '-e',
    'trace=fsync',
    '-e',
    'inject=fsync:error=ENOSPC',
  ];
  const { status, signal } = spawnSync('strace', [...inject, dray, 'backup', inFolder('disk.img'), '-q'], {
    env,
    stdio: ['ignore', ...files],
    timeout: 3 * 60_000,
    killSignal: 'SIGKILL',
  });
  for (const fd of files) closeSync(fd);
  assert.deepEqual({ status, signal }, { status: 0, signal: null });
  assert.match(await readFile(out, 'utf8'), /^Snapshot  [0-9a-f]{32}/);
  assert.equal(await readFile(err, 'utf8'), '');
});
