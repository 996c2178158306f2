/**
 * Freezing that ends for sure. A process of its own freezes and thaws (`freeze-guard-process.ts`): it is ready before
 * anything freezes, and thaws when the bound has passed or when we are gone, however. If it is killed itself, we thaw. Only
 * both at once, or the end of a whole container, leave a file system frozen: who freezes writes down before what he
 * freezes, and looks after it when he starts again. What somebody else froze is refused and never thawed.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import type { FileHandle } from 'node:fs/promises';
import { getCompileCacheDir } from 'node:module';
import { setPriority } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../std/clock.ts';
import { DrayError } from '../std/dray-error.ts';
import { toError } from '../std/to-error.ts';
import type { GuardOrder, GuardReport } from './freeze-messages.ts';
import { thawFileSystem } from './freeze.ts';
import { areExpedited, endExpedited } from './grace-periods.ts';
import { KernelError } from './sys.ts';

/**
 * - `freeze-refused`: a file system cannot be frozen, or is frozen already.
 * - `freeze-timeout`: not all were frozen within the bound.
 * - `freeze-guard-lost`: the guard's process ended or could not start; what it had frozen is thawed.
 * - `freeze-stuck`: a file system could not be thawed: somebody must look.
 */
export class FreezeError extends DrayError<
  'freeze-refused' | 'freeze-timeout' | 'freeze-guard-lost' | 'freeze-stuck'
> {}

/** A folder of the file system that is to be frozen; whoever froze it needs no path to it any more. */
export interface FreezeFolder {
  /** For messages. */
  readonly path: string;
  readonly folder: FileHandle;
}

/** Two files on one file system that can share blocks; the caller's, open until the guard is disposed of. */
export interface FrozenClone {
  readonly fromFd: number;
  readonly toFd: number;
}

export interface FreezeGuardOptions {
  /** To be made by `cloneFrozen`. */
  readonly clones?: readonly FrozenClone[];
  /** Longest time that anything stays frozen, from the begin of `freeze()`. */
  readonly boundMs: number;
  readonly clock: Clock;
  /** Ends `start` and `freeze` early; then dispose, which thaws. */
  readonly signal: AbortSignal;
}

/** How long a guard may be silent beyond what it was given, before it is killed and we do its work. */
const graceMs = 1000;
const highestPriority = -20;

export class FreezeGuard implements AsyncDisposable {
  readonly #folders: readonly FreezeFolder[];
  readonly #options: FreezeGuardOptions;
  readonly #process: ChildProcess;
  /** Its process has ended, everything it said is read, and what it left frozen is thawed. */
  readonly #closed: Promise<void>;
  /** Those that it may have frozen and has not thawed. */
  readonly #claimed = new Set<number>();
  readonly #watch = new AbortController();
  /** As it was before; what the guard has set and not put back is ours to put back. */
  readonly #wereExpedited = areExpedited();
  #answer: PromiseWithResolvers<GuardReport> = Promise.withResolvers();
  /** `lost`: its process ended before it was asked for anything. */
  #state: 'starting' | 'ready' | 'lost' | 'freezing' | 'frozen' | 'over' = 'starting';
  #stuck: string | undefined;
  #wasKilled = false;

  private constructor(folders: readonly FreezeFolder[], options: FreezeGuardOptions) {
    this.#folders = folders;
    this.#options = options;
    // Its own session: what ends our process group, such as Ctrl-C, is not for it. Of the environment it needs only where
    // compiled code is kept, to start in half the time.
    const entry = new URL(`./freeze-guard-process${import.meta.url.slice(-3)}`, import.meta.url);
    const { clones = [], boundMs } = options;
    const args = [fileURLToPath(entry), ...[folders.length, clones.length, boundMs].map(String)];
    const compiled = getCompileCacheDir();
    this.#process = spawn(process.execPath, args, {
      cwd: '/',
      env: { ...(compiled !== undefined && { NODE_COMPILE_CACHE: dirname(compiled) }) },
      detached: true,
      stdio: [
        'pipe',
        'pipe',
        'ignore',
        ...folders.map(({ folder }) => folder.fd),
        ...clones.flatMap(({ fromFd, toFd }) => [fromFd, toFd]),
      ],
    });
    this.#giveWay();
    this.#process.stdin?.on('error', () => undefined); // It is gone, which `close` tells.
    this.#listen();
    this.#closed = new Promise((resolve) => {
      const settle = (): void => void this.#mourn().finally(resolve);
      this.#process.once('error', settle);
      this.#process.once('close', settle);
    });
  }

  /**
   * Starts the guard; resolves when it is ready. The folders are the guard's from here on, also when it fails: they stay open, and
   * so nothing unmounts their file systems, until it is disposed of. Two of one file system count as one that is frozen already.
   * @throws {FreezeError} `freeze-guard-lost`
   */
  static async start(folders: readonly FreezeFolder[], options: FreezeGuardOptions): Promise<FreezeGuard> {
    await using opened = new AsyncDisposableStack();
    for (const { folder } of folders) opened.use(folder);
    options.signal.throwIfAborted();
    const guard = new FreezeGuard(folders, options);
    opened.move();
    await using starting = new AsyncDisposableStack();
    starting.use(guard);
    await guard.#nextAnswer();
    guard.#state = 'ready';
    starting.move();
    return guard;
  }

  /** Of the guard's process. */
  get pid(): number | undefined {
    return this.#process.pid;
  }

  /**
   * Freezes all, in order: all or none. Once for each guard.
   * @throws {FreezeError} `freeze-refused` naming mount point and errno; `freeze-timeout` when the bound passes before
   *   all are frozen, even while the kernel is still at it: what it freezes late is thawed at once; `freeze-guard-lost`
   */
  async freeze(): Promise<void> {
    const answer = await this.#begin({ kind: 'freeze' });
    if (answer.kind !== 'all-frozen') throw this.#failure(answer);
    // The bound may have passed between its word and ours.
    if (this.#state === 'freezing') this.#state = 'frozen';
  }

  /**
   * Freezes all, makes the clones, and thaws, all of it in the guard's process: no message between processes is waited for
   * while writers wait.
   * @returns as `thaw` @throws as `freeze` and `thaw`; {KernelError} when a clone cannot be made
   */
  async cloneFrozen(): Promise<number | undefined> {
    const answer = await this.#begin({ kind: 'clone' });
    this.#state = 'over';
    this.#throwIfStuck();
    if (answer.kind === 'expired' && answer.cloning) return undefined;
    if (answer.kind !== 'thawed') throw this.#failure(answer);
    const { failed, intact, frozenMs } = answer;
    if (failed !== undefined) throw new KernelError('clone while frozen', failed.errno);
    return intact ? frozenMs : undefined;
  }

  async #begin(order: GuardOrder): Promise<GuardReport> {
    // What ends a whole service at once ends the guard too: then an abort is what has happened.
    this.#options.signal.throwIfAborted();
    if (this.#state === 'lost') throw this.#lost();
    assert(this.#state === 'ready', `freeze a guard that is ${this.#state}`);
    this.#state = 'freezing';
    this.#order(order);
    void this.#killWhenSilent();
    return await this.#nextAnswer().catch((error: unknown) => {
      this.#state = 'over';
      throw error;
    });
  }

  #failure(answer: GuardReport): FreezeError {
    this.#state = 'over';
    if (answer.kind !== 'refused') return this.#timeout();
    return new FreezeError('freeze-refused', `freeze ${this.#folders[answer.index]?.path}: ${answer.errno}`);
  }

  /**
   * Thaws all; what cannot be told is thawed as well.
   * @returns how long writers had to wait, in milliseconds, when all had been frozen without a gap until this call; undefined when
   *   not: what was copied is of no single moment
   * @throws {FreezeError} `freeze-stuck`
   */
  async thaw(): Promise<number | undefined> {
    const wasFrozen = this.#state === 'frozen';
    this.#state = 'over';
    let frozenMs: number | undefined;
    if (wasFrozen) {
      this.#answer = Promise.withResolvers();
      this.#order({ kind: 'thaw' });
      const answer = await Promise.race([this.#answer.promise, this.#closed]);
      if (answer?.kind === 'thawed' && answer.intact) frozenMs = answer.frozenMs;
    } else if (this.#process.exitCode !== null || this.#process.signalCode !== null) {
      await this.#closed; // The guard was lost, and its work is being done.
    }
    this.#throwIfStuck();
    return frozenMs;
  }

  #throwIfStuck(): void {
    if (this.#stuck === undefined) return;
    throw new FreezeError('freeze-stuck', `thaw ${this.#paths()}: ${this.#stuck}`);
  }

  /** Thaws what is still frozen and ends the guard. One that hangs in the kernel is left alone to thaw when that ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#state = 'over';
    this.#process.stdin?.end();
    const waiting = new AbortController();
    const grace = this.#options.clock.sleep(graceMs, { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([this.#closed, grace]);
    waiting.abort();
    this.#watch.abort();
    this.#process.stdout?.destroy();
    this.#process.unref();
    await Promise.all(this.#folders.map(async ({ folder }) => await folder.close()));
  }

  /** Writers will wait for it, so it comes first: all threads that it will have are what its first one is. */
  #giveWay(): void {
    const { pid } = this.#process;
    try {
      if (pid !== undefined) setPriority(pid, highestPriority);
    } catch {
      // No privilege: then freezing is refused as well.
    }
  }

  #order(order: GuardOrder): void {
    this.#process.stdin?.write(`${JSON.stringify(order)}\n`);
  }

  #listen(): void {
    let text = '';
    this.#process.stdout?.setEncoding('utf8');
    this.#process.stdout?.on('data', (piece: string) => {
      const lines = (text + piece).split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) this.#hear(JSON.parse(line) as GuardReport);
    });
  }

  #hear(report: GuardReport): void {
    switch (report.kind) {
      case 'freezing':
        this.#claimed.add(report.index);
        return;
      case 'not-frozen':
        this.#claimed.delete(report.index);
        return;
      case 'expired':
      case 'thawed':
        this.#state = 'over';
        this.#stuck ??= report.stuck;
        this.#watch.abort();
        break;
      case 'refused':
        this.#watch.abort();
        break;
      case 'ready':
      case 'all-frozen':
        break;
    }
    this.#answer.resolve(report);
  }

  /** The next word that settles something, or the guard's end, or the signal's. */
  async #nextAnswer(): Promise<GuardReport> {
    const { signal } = this.#options;
    this.#answer = Promise.withResolvers();
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(toError(signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    try {
      const answer = await Promise.race([this.#answer.promise, this.#closed, aborted.promise]);
      if (answer !== undefined) return answer;
      if (this.#wasKilled) throw this.#timeout();
      throw this.#lost();
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  #lost(): FreezeError {
    return new FreezeError('freeze-guard-lost', `freeze ${this.#paths()}: the guard has ended`);
  }

  #paths(): string {
    return this.#folders.map(({ path }) => path).join(', ');
  }

  #timeout(): FreezeError {
    const { boundMs } = this.#options;
    return new FreezeError('freeze-timeout', `freeze ${this.#paths()} within ${boundMs} ms`);
  }

  /** A guard that is stopped cannot keep the bound: then we do. */
  async #killWhenSilent(): Promise<void> {
    const { boundMs, clock } = this.#options;
    const isSilent = await clock.sleep(boundMs + graceMs, { signal: this.#watch.signal }).then(
      () => true,
      () => false,
    );
    if (!isSilent) return;
    this.#wasKilled = true;
    this.#process.kill('SIGKILL');
  }

  /** The guard has ended: what it may have left frozen is ours to thaw. */
  async #mourn(): Promise<void> {
    this.#state = this.#state === 'ready' ? 'lost' : 'over';
    this.#watch.abort();
    for (const index of [...this.#claimed].toReversed()) {
      const frozen = this.#folders[index];
      if (frozen === undefined) continue;
      await thawFileSystem(frozen.folder.fd).catch((error: unknown) => void (this.#stuck ??= toError(error).message));
    }
    this.#claimed.clear();
    if (this.#process.signalCode !== null && !this.#wereExpedited) endExpedited();
  }
}
