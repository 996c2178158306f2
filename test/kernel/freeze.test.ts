import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FreezeGuard, type FreezeGuardOptions } from '../../src/kernel/freeze-guard.ts';
import { areExpedited } from '../../src/kernel/grace-periods.ts';
import { attachLoop as attach, detachLoop } from '../../src/kernel/loop-device.ts';
import { KernelError } from '../../src/kernel/sys.ts';
import { systemClock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { fileSystemsMissing, mountedFileSystem, type FileSystemKind } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { run } from './loop-device.ts';

const signal = AbortSignal.timeout(300_000);
const longMs = 120_000;
const options = (boundMs: number): FreezeGuardOptions => ({ boundMs, clock: systemClock, signal });

async function startGuard(paths: readonly string[], how: FreezeGuardOptions): Promise<FreezeGuard> {
  const folders = await Promise.all(paths.map(async (path) => ({ path, folder: await open(path, 'r') })));
  return await FreezeGuard.start(folders, how);
}

interface Frozen extends AsyncDisposable {
  readonly path: string;
}

/** Mounted, and thawed at the end whatever a test has left: nobody could unmount it else. */
async function mounted(kind: FileSystemKind): Promise<Frozen> {
  const fileSystem = await mountedFileSystem(kind, 0);
  return {
    path: fileSystem.path,
    [Symbol.asyncDispose]: async () => {
      spawnSync('fsfreeze', ['-u', fileSystem.path]);
      await fileSystem[Symbol.asyncDispose]();
    },
  };
}

/** Asks by trying: there is no other way to know. */
function isFrozen(path: string): boolean {
  const { status, stderr } = spawnSync('fsfreeze', ['-f', path], { encoding: 'utf8' });
  if (status !== 0) {
    assert.match(stderr, /busy/);
    return true;
  }
  run('fsfreeze', '-u', path);
  return false;
}

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + 60_000;
  while (!(await what())) {
    assert(Date.now() < deadlineMs, 'waited for a minute');
    await sleep(20);
  }
}

const stateOf = async (pid: number | undefined): Promise<string | undefined> => {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return text.slice(text.lastIndexOf(')') + 2)[0];
};

/** Not in a container whose `/sys` is read-only. */
function canExpedite(): boolean {
  try {
    accessSync('/sys/kernel/rcu_expedited', constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

describe('freeze guard', { skip: fileSystemsMissing('ext4', 'xfs') }, () => {
  for (const kind of ['ext4', 'xfs'] as const) {
    test(`writers wait while ${kind} is frozen, and go on after`, async () => {
      await using fileSystem = await mounted(kind);
      await using guard = await startGuard([fileSystem.path], options(longMs));
      assert.equal(isFrozen(fileSystem.path), false);
      await guard.freeze();
      const writer = spawn('sh', ['-c', 'echo text > "$1"', 'sh', join(fileSystem.path, 'file')]);
      const ended = once(writer, 'exit');
      await until(async () => (await stateOf(writer.pid)) === 'D');
      assert.equal(isFrozen(fileSystem.path), true);
      assert.ok((await guard.thaw())! > 0);
      assert.deepEqual(await ended, [0, null]);
      assert.equal(isFrozen(fileSystem.path), false);
      assert.equal(await guard.thaw(), undefined);
    });
  }

  test('clones are made while all is frozen; one that cannot be made is told, and all is thawed', async () => {
    await using fileSystem = await mounted('ext4');
    await using pool = await mounted('xfs');
    const [from, to, elsewhere] = [join(pool.path, 'from'), join(pool.path, 'to'), join(fileSystem.path, 'to')];
    await writeFile(from, 'text');
    for (const toPath of [to, elsewhere]) {
      await using source = await open(from, 'r');
      await using target = await open(toPath, 'wx');
      const clones = [{ fromFd: source.fd, toFd: target.fd }];
      await using guard = await startGuard([fileSystem.path], { ...options(longMs), clones });
      if (toPath === to) assert.ok((await guard.cloneFrozen())! > 0);
      else
        await assert.rejects(guard.cloneFrozen(), (error) => error instanceof KernelError && error.errno === 'EXDEV');
      assert.equal(isFrozen(fileSystem.path), false);
    }
    assert.equal(await readFile(to, 'utf8'), 'text');
  });

  test('several are frozen together, and thawed by disposing', async () => {
    await using one = await mounted('ext4');
    await using two = await mounted('xfs');
    {
      await using guard = await startGuard([one.path, two.path], options(longMs));
      await guard.freeze();
      assert.deepEqual([isFrozen(one.path), isFrozen(two.path)], [true, true]);
    }
    assert.deepEqual([isFrozen(one.path), isFrozen(two.path)], [false, false]);
  });

  test('when the bound passes, all is thawed, and it is no single moment any more', async () => {
    await using fileSystem = await mounted('ext4');
    await using guard = await startGuard([fileSystem.path], options(300));
    await guard.freeze();
    await until(() => !isFrozen(fileSystem.path));
    assert.equal(await guard.thaw(), undefined);
  });

  test('what somebody thaws meanwhile is no single moment either', async () => {
    await using fileSystem = await mounted('ext4');
    await using guard = await startGuard([fileSystem.path], options(longMs));
    await guard.freeze();
    run('fsfreeze', '-u', fileSystem.path);
    assert.equal(await guard.thaw(), undefined);
  });

  test('what somebody else has frozen is refused and stays frozen, and what was frozen before it is thawed', async () => {
    await using one = await mounted('ext4');
    await using two = await mounted('ext4');
    run('fsfreeze', '-f', two.path);
    {
      await using guard = await startGuard([one.path, two.path], options(longMs));
      const refused = (error: unknown): boolean =>
        hasCode(error, 'freeze-refused') && error.message.includes(two.path) && error.message.includes('EBUSY');
      await assert.rejects(guard.freeze(), refused);
      assert.deepEqual([isFrozen(one.path), isFrozen(two.path)], [false, true]);
      assert.equal(await guard.thaw(), undefined);
    }
    assert.equal(isFrozen(two.path), true);
  });

  test('what cannot be frozen is refused by name', async () => {
    await using guard = await startGuard(['/proc'], options(longMs));
    await assert.rejects(guard.freeze(), (error) => hasCode(error, 'freeze-refused') && /\/proc: /.test(error.message));
  });

  test('it is thawed when the process that froze it is killed', async () => {
    await using fileSystem = await mounted('ext4');
    const script = join(import.meta.dirname, 'freeze-holder.ts');
    const holder = spawn(process.execPath, [script, fileSystem.path, String(longMs)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [pid] = (await once(holder.stdout, 'data')) as [Buffer];
    assert.equal(isFrozen(fileSystem.path), true);
    holder.kill('SIGKILL');
    await until(() => !isFrozen(fileSystem.path));
    await until(async () => ['Z', undefined].includes(await stateOf(Number(pid))));
  });

  test('it is thawed when the guard is killed, and when it is asked to end', async () => {
    for (const kill of ['SIGKILL', 'SIGTERM'] as const) {
      await using fileSystem = await mounted('ext4');
      await using guard = await startGuard([fileSystem.path], options(longMs));
      await guard.freeze();
      assert.equal(isFrozen(fileSystem.path), true);
      process.kill(guard.pid ?? 0, kill);
      await until(() => !isFrozen(fileSystem.path));
      assert.equal(await guard.thaw(), undefined);
    }
  });

  const inhibited = canExpedite() ? false : 'grace periods cannot be set here';
  test(
    'grace periods are quick while it freezes, and as before, also when the guard is killed',
    { skip: inhibited },
    async () => {
      for (const kill of [false, true]) {
        await using fileSystem = await mounted('ext4');
        // All of the machine has one setting: another freeze that ends takes it away.
        await until(async () => {
          await until(() => !areExpedited());
          await using guard = await startGuard([fileSystem.path], options(longMs));
          await guard.freeze();
          const wereQuick = areExpedited();
          if (kill) process.kill(guard.pid ?? 0, 'SIGKILL');
          else await guard.thaw();
          return wereQuick;
        });
        await until(() => !areExpedited());
      }
    },
  );

  test('a guard that is killed before anything is frozen is lost, and an abort meanwhile stays one', async () => {
    await using fileSystem = await mounted('ext4');
    for (const isAborted of [false, true]) {
      const stop = new AbortController();
      await using guard = await startGuard([fileSystem.path], { ...options(longMs), signal: stop.signal });
      process.kill(guard.pid ?? 0, 'SIGKILL');
      await until(async () => (await stateOf(guard.pid)) === undefined);
      if (isAborted) stop.abort(new Error('stopped'));
      const isRight = (error: unknown): boolean =>
        isAborted ? error === stop.signal.reason : hasCode(error, 'freeze-guard-lost');
      await assert.rejects(guard.cloneFrozen(), isRight);
      assert.equal(isFrozen(fileSystem.path), false);
    }
  });

  test('a guard that is stopped is replaced after the bound', async () => {
    await using fileSystem = await mounted('ext4');
    await using guard = await startGuard([fileSystem.path], options(300));
    await guard.freeze();
    process.kill(guard.pid ?? 0, 'SIGSTOP');
    assert.equal(await guard.thaw(), undefined);
    assert.equal(isFrozen(fileSystem.path), false);
  });

  test('the bound passes also while the kernel is still freezing, and what it freezes late is thawed', async () => {
    await using below = await mounted('ext4');
    await using folder = await temporaryFolder('freeze');
    const image = join(below.path, 'image');
    await writeFile(image, '');
    await truncate(image, 8 * 2 ** 20);
    const { path } = await attach(image, { readOnly: false, sectorBytes: 4096, signal });
    try {
      run('mkfs.ext4', '-q', path);
      run('mount', path, folder.path);
      await writeFile(join(folder.path, 'dirty'), Buffer.alloc(2 ** 20, 1));
      // What is dirty above can be written nowhere below.
      run('fsfreeze', '-f', below.path);
      {
        await using guard = await startGuard([folder.path], options(300));
        await assert.rejects(guard.freeze(), (error) => hasCode(error, 'freeze-timeout'));
        run('fsfreeze', '-u', below.path);
        await until(() => !isFrozen(folder.path));
      }
      assert.equal(isFrozen(folder.path), false);
    } finally {
      spawnSync('fsfreeze', ['-u', below.path]);
      spawnSync('fsfreeze', ['-u', folder.path]);
      run('umount', folder.path);
      await detachLoop(path, { signal, file: image });
    }
  });
});
