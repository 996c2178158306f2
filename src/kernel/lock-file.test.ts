import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock, type Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import { FileLock, type LockOptions } from './lock-file.ts';

const signal = AbortSignal.timeout(60_000);
const isBusy = (error: unknown): boolean => hasCode(error, 'kernel-busy');
const options = (more: Partial<LockOptions> = {}): LockOptions => ({
  mode: 'exclusive',
  waitMs: 0,
  create: true,
  clock: systemClock,
  signal,
  ...more,
});

/** Time that passes only in sleeps, which do `onSleep` before they end at once. */
function steppedClock(onSleep: (slept: number) => Promise<void>): Clock & { readonly slept: number[] } {
  const slept: number[] = [];
  const nowMs = (): number => slept.reduce((sum, ms) => sum + ms, 0);
  const sleep = async (ms: number): Promise<void> => {
    slept.push(ms);
    await onSleep(slept.length);
  };
  return { nowMs, monotonicMs: nowMs, sleep, slept };
}

/** How many descriptors of this process are of this file. */
function openings(path: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false;
    }
  }).length;
}

describe('file lock', () => {
  let folder = '';
  before(async () => void (folder = await mkdtemp(join(tmpdir(), 'dray-lock-'))));
  after(async () => await rm(folder, { recursive: true, force: true }));

  test('is held by one alone or by many together, and is free when they let go', async () => {
    const path = join(folder, 'modes');
    {
      using _one = await FileLock.take(path, options({ mode: 'shared' }));
      using _other = await FileLock.take(path, options({ mode: 'shared' }));
      await assert.rejects(FileLock.take(path, options()), isBusy);
    }
    using lock = await FileLock.take(path, options());
    await assert.rejects(FileLock.take(path, options({ mode: 'shared' })), isBusy);
    lock[Symbol.dispose]();
    using _again = await FileLock.take(path, options());
  });

  test('is waited for in steps up to 50 ms, no longer than asked', async () => {
    const path = join(folder, 'waits');
    using lock = await FileLock.take(path, options());
    const clock = steppedClock(async () => {});
    await assert.rejects(FileLock.take(path, options({ waitMs: 200, clock })), isBusy);
    assert.deepEqual(clock.slept, [1, 2, 4, 8, 16, 32, 50, 50, 37]);
    const other = steppedClock(async (slept) => void (slept === 3 && lock[Symbol.dispose]()));
    using _later = await FileLock.take(path, options({ waitMs: 200, clock: other }));
    assert.equal(other.slept.length, 3);
  });

  test('of a file that its holder replaces or removes is the lock of what has the name now', async () => {
    const path = join(folder, 'replaced');
    for (const change of [
      () => {
        writeFileSync(`${path}-new`, '');
        renameSync(`${path}-new`, path);
      },
      () => unlinkSync(path),
    ]) {
      using old = await FileLock.take(path, options());
      const taken = FileLock.take(path, options());
      // Held up on the main thread: the other has opened the file and comes to lock it after this.
      const deadlineMs = Date.now() + 10_000;
      while (openings(path) < 2) assert(Date.now() < deadlineMs);
      change();
      old[Symbol.dispose]();
      using _lock = await taken;
      await access(path);
      await assert.rejects(FileLock.take(path, options()), isBusy);
    }
  });

  test('of a folder is as good as one of a file', async () => {
    using _lock = await FileLock.take(folder, options({ create: false }));
    await assert.rejects(FileLock.take(folder, options({ create: false })), isBusy);
  });

  test('makes no file unless told, and an abort ends the wait', async () => {
    const missing = FileLock.take(join(folder, 'missing'), options({ create: false }));
    await assert.rejects(missing, (error) => hasCode(error, 'kernel-failed') && error.message.includes('ENOENT'));
    using _lock = await FileLock.take(join(folder, 'abort'), options());
    const controller = new AbortController();
    const waiting = FileLock.take(join(folder, 'abort'), options({ waitMs: 60_000, signal: controller.signal }));
    controller.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
  });

  test('is free after its holder was killed, and programs that it started do not hold it', async () => {
    const path = join(folder, 'killed');
    const script = `
      import { spawn } from 'node:child_process';
      import { FileLock } from ${JSON.stringify(new URL('./lock-file.ts', import.meta.url).href)};
      import { systemClock } from ${JSON.stringify(new URL('../std/clock.ts', import.meta.url).href)};
      const signal = new AbortController().signal;
      globalThis.lock = await FileLock.take(process.argv[1], { mode: 'exclusive', waitMs: 0, create: true, clock: systemClock, signal });
      const { pid } = spawn('sleep', ['60'], { stdio: 'ignore' });
      console.log(pid);
      setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(holder.stdout, 'data')) as [Buffer];
    try {
      await assert.rejects(FileLock.take(path, options()), isBusy);
      holder.kill('SIGKILL');
      await once(holder, 'exit');
      using _lock = await FileLock.take(path, options());
    } finally {
      process.kill(Number(line));
    }
  });
});
