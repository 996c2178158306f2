/** Repositories that Velero has made open without a password being named, when theirs is the one that Velero gives them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { runDray } from '../support/run-dray.ts';
import { temporaryFolder } from '../support/temporary.ts';

const program = join(import.meta.dirname, '../../bin/dray');

async function status(repository: string, cache: string): Promise<{ exitCode: number; stderr: string }> {
  const { DRAY_PASSWORD: _, ...env } = process.env;
  const run = promisify(execFile)(program, ['repository', 'status', '-r', repository, '--cache-dir', cache], { env });
  run.child.stdin?.end();
  return await run.then(
    ({ stderr }) => ({ exitCode: 0, stderr }),
    ({ code, stderr }: { code: number; stderr: string }) => ({ exitCode: code, stderr }),
  );
}

test("Velero's default password is tried on what Velero has made, and on nothing else", async () => {
  await using folder = await temporaryFolder('velero-password');
  const cache = join(folder.path, 'cache');
  const made = async (name: string, password: string, mark: boolean): Promise<string> => {
    const repository = join(folder.path, name);
    const created = await runDray({ repository, cache, password }, ['repository', 'create']);
    assert.equal(created.exitCode, 0, created.stderr);
    if (mark) await writeFile(join(repository, 'udmrepo.Repository.f'), '{"uniqueID":"any"}');
    return repository;
  };
  const opened = await status(await made('default', 'static-passw0rd', true), cache);
  assert.equal(opened.exitCode, 0, opened.stderr);
  assert.match(opened.stderr, /Velero's default password/);
  const other = await status(await made('other', 'another', true), cache);
  assert.notEqual(other.exitCode, 0);
  assert.match(other.stderr, /does not open the repository/);
  const unmarked = await status(await made('unmarked', 'static-passw0rd', false), cache);
  assert.notEqual(unmarked.exitCode, 0);
  assert.match(unmarked.stderr, /DRAY_PASSWORD is not set/);
});
