/** The tour as a user starts it: a process that starts others, in a folder that must be gone afterwards. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';

import { fileSystemsMissing } from './support/file-system.ts';

const launcher = join(import.meta.dirname, '..', 'bin', 'dray');
const small = ['tour', '--size', '32Mi'];

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Step {
  readonly name: string;
  readonly command?: string;
  readonly exitCode?: number;
  readonly readBytes?: number;
  readonly storedBytes?: number;
}

suite('tour', () => {
  let home = '';
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'dray-tour-test-'));
  });
  after(async () => await rm(home, { recursive: true }));

  /** The tour's temporary folder is in a folder of the test, so that what is left over is seen. */
  async function environment(name: string): Promise<{ temporary: string; env: NodeJS.ProcessEnv }> {
    const temporary = join(home, name);
    await mkdir(temporary);
    return { temporary, env: { ...process.env, TMPDIR: temporary } };
  }

  async function dray(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
    const { promise, resolve } = Promise.withResolvers<Ended>();
    execFile(launcher, [...args], { env }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code ?? 255), stdout, stderr });
    });
    return await promise;
  }

  test('tour > backs up, changes, restores, damages, tells each step as data, and leaves nothing', async () => {
    const { temporary, env } = await environment('whole');
    const { status, stdout, stderr } = await dray([...small, '-o', 'json'], env);
    assert.equal(status, 0, stderr);
    const { steps, kept } = JSON.parse(stdout) as { readonly steps: readonly Step[]; readonly kept: boolean };
    const named = (name: string): Step => steps.find((step) => step.name === name) ?? assert.fail(`no step ${name}`);
    assert.equal(kept, false);
    assert.equal(named('verify finds it').exitCode, 4);
    assert.equal(named('restore refuses it').exitCode, 4);
    const [full, increment] = [named('back up'), named('back up the increment')];
    assert((increment.storedBytes ?? Infinity) * 4 < (full.storedBytes ?? 0), 'the increment is small');
    if (fileSystemsMissing('xfs', 'ext4') === false) {
      const [monday, changed] = [named('back up monday'), named('back up only what changed')];
      assert((changed.readBytes ?? Infinity) * 3 < (monday.readBytes ?? 0), 'only what changed is read');
      assert.equal(named('compare the volume').command?.startsWith('cmp '), true);
    } else assert.match(stderr, /chapter on volumes and pools is left out/);
    for (const { command } of steps) if (command !== undefined) assert(stderr.includes(`$ ${command}\n`), command);
    assert.deepEqual(await readdir(temporary), []);
  });

  test('tour > with --keep its commands can be repeated as they were printed', async () => {
    const { env } = await environment('keep');
    const folder = join(home, "kept 'here'");
    const { status, stderr, stdout } = await dray([...small, '--keep', '--folder', folder], env);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^STEP +TIME +READ +STORED +RESULT\n/);
    const printed = stderr.split('\n').flatMap((line) => /^ +\$ (.*)$/.exec(line)?.slice(1) ?? []);
    const settings = printed.filter((line) => /^(cd|export) /.test(line));
    const repeated = printed.filter((line) =>
      /^(cmp (?!pool)|cat )|^dray (snapshot diff|repository verify)/.test(line),
    );
    assert.equal(settings.length, 5);
    assert(repeated.length >= 5, repeated.join('\n'));
    const script = ['set -e', ...settings, ...repeated, 'rm restored-1.img'];
    script.push(...printed.filter((line) => line.includes(' restored-1.img -o json')));
    const { promise, resolve } = Promise.withResolvers<string>();
    execFile('/bin/sh', ['-c', script.join('\n')], { env }, (error, _out, err) =>
      resolve(error ? err || 'failed' : ''),
    );
    assert.equal(await promise, '');
    await rm(folder, { recursive: true });
  });

  test('tour > a folder that holds something is left alone', async () => {
    const { temporary, env } = await environment('occupied');
    await writeFile(join(temporary, 'mine'), 'x');
    const { status, stderr } = await dray([...small, '--folder', temporary], env);
    assert.equal(status, 2);
    assert.match(stderr, /is not empty/);
    assert.deepEqual(await readdir(temporary), ['mine']);
  });

  test('tour > stops with status 1 at what is not as it says, and still leaves nothing', async () => {
    const { temporary, env } = await environment('false');
    // The launcher comes first in the commands' PATH, but `cp` does not come from it.
    const programs = join(home, 'programs');
    await mkdir(programs);
    await writeFile(
      join(programs, 'cp'),
      '#!/bin/sh\n/bin/cp "$@" && printf x | dd of="$2" seek=9 bs=1 conv=notrunc\n',
    );
    await chmod(join(programs, 'cp'), 0o755);
    const { status, stderr, stdout } = await dray(small, { ...env, PATH: `${programs}:${env['PATH']}` });
    assert.equal(status, 1);
    assert.match(stderr, /restored-1\.img differs from before\.img at byte 9\n/);
    assert.equal(stdout, '');
    assert.deepEqual(await readdir(temporary), []);
  });

  test('tour > Ctrl-C in the middle of a command ends it with status 130 and leaves nothing', async () => {
    const { temporary, env } = await environment('interrupted');
    const child = spawn(launcher, small, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    const { promise, resolve } = Promise.withResolvers<number | null>();
    child.once('close', resolve);
    let text = '';
    child.stderr.on('data', (piece: Buffer) => {
      const before = text;
      text += piece.toString();
      const mark = '$ dray backup volume.img';
      if (text.includes(mark) && !before.includes(mark)) child.kill('SIGINT');
    });
    assert.equal(await promise, 130, text);
    assert.deepEqual(await readdir(temporary), []);
  });
});
