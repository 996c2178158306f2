/**
 * Locks between processes that end with their holder, however it ends: flock(2) on a file or a folder. They hold between
 * processes of one machine and between two holders in one process; the descriptor is not passed on to programs that
 * are started. The content of the file means nothing.
 */
import { close, closeSync, constants, fstat, open } from 'node:fs';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Clock } from '../std/clock.ts';
import { isErrno } from '../std/atomic-write.ts';
import { errnoOf } from '../std/errno.ts';
import { KernelError, lockNow } from './sys.ts';

const firstPauseMs = 1;
const pauseMsMax = 50;

export interface LockOptions {
  /** Any number hold it shared, or one exclusively. Nothing is fair: who asks for it alone may wait for ever. */
  readonly mode: 'shared' | 'exclusive';
  /** 0: one try. */
  readonly waitMs: number;
  /** Make the file, mode 0600, where there is none. */
  readonly create?: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export class FileLock implements Disposable {
  #fd: number | undefined;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Takes the lock of what has this path when it is taken: a holder before may have replaced or removed the file.
   * @throws {KernelError} `kernel-busy` when it is not free within `waitMs`; `kernel-unsupported` on a file system without
   *   locks; other codes when the file cannot be opened
   */
  static async take(path: string, options: LockOptions): Promise<FileLock> {
    const { mode, waitMs, clock, signal } = options;
    const deadlineMs = clock.monotonicMs() + waitMs;
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, pauseMsMax)) {
      signal.throwIfAborted();
      const fd = await tryTake(path, options);
      if (fd !== undefined) return new FileLock(fd);
      const leftMs = deadlineMs - clock.monotonicMs();
      if (leftMs <= 0) throw new KernelError(`take ${mode} lock of ${path}`, 'EBUSY');
      await clock.sleep(Math.min(pauseMs, leftMs), { signal });
    }
  }

  /** Frees the lock; again does nothing. */
  [Symbol.dispose](): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) closeSync(fd);
  }
}

/** Files that vanish under the lock, one after the other, before this counts as taken by others. */
const replacedMax = 10;

/** A descriptor that holds the lock, or undefined when it is not free. */
async function tryTake(path: string, { mode, create = false }: LockOptions): Promise<number | undefined> {
  for (let tries = 0; tries < replacedMax; tries += 1) {
    const fd = await openForLock(path, create);
    let isHeld = false;
    try {
      if (!lockNow(fd, mode)) return undefined;
      isHeld = await isStill(path, fd);
      if (isHeld) return fd;
    } finally {
      if (!isHeld) await promisify(close)(fd);
    }
  }
  return undefined;
}

async function openForLock(path: string, create: boolean): Promise<number> {
  const flags = constants.O_RDONLY | (create ? constants.O_CREAT : 0);
  try {
    return await promisify(open)(path, flags, 0o600);
  } catch (error) {
    throw new KernelError(`open ${path} to lock it`, errnoOf(error) ?? 'EUNKNOWN');
  }
}

async function isStill(path: string, fd: number): Promise<boolean> {
  const options = { bigint: true } as const;
  const locked = await promisify(fstat)(fd, options);
  try {
    const named = await stat(path, options);
    return named.ino === locked.ino && named.dev === locked.dev;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
