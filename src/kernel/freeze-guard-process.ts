/**
 * The process of a `FreezeGuard`: it freezes, and it thaws when told, when the bound has passed, when it is asked to end,
 * and when its pipe closes, that is, when the process that started it is gone. Everything it needs is loaded and open
 * before it says that it is ready: frozen file systems may be those of its own program. Arguments: how many file systems,
 * the bound in milliseconds.
 */
import { writeFileSync, writeSync } from 'node:fs';
import { setPriority } from 'node:os';
import { systemClock } from '../std/clock.ts';
import { freezeFileSystem, thawFileSystem } from './freeze.ts';
import { firstFileDescriptor, type GuardOrder, type GuardReport } from './freeze-messages.ts';
import { beginExpedited, endExpedited } from './grace-periods.ts';
import { KernelError, pageBytes } from './sys.ts';

class Freezer {
  readonly #count: number;
  readonly #boundMs: number;
  readonly #bound = new AbortController();
  /** Descriptors of what we froze and did not thaw. */
  readonly #frozen: number[] = [];
  #freezing: Promise<void> = Promise.resolve();
  #expiring: Promise<void> = Promise.resolve();
  /** When the first call that freezes began. */
  #begunMs = 0;
  /** Nothing may become or stay frozen any more. */
  #isOver = false;
  #isComplete = false;
  #isExpedited = false;

  constructor(count: number, boundMs: number) {
    this.#count = count;
    this.#boundMs = boundMs;
  }

  async follow(order: GuardOrder): Promise<void> {
    switch (order.kind) {
      case 'freeze':
        this.#expiring = this.#expire();
        this.#freezing = this.#freezeAll();
        break;
      case 'thaw': {
        // Before anything is waited for: an order that came in time is not overtaken by the bound.
        this.#bound.abort();
        const isIntact = this.#isComplete && !this.#isOver;
        const { wereFrozen, stuck } = await this.#thawAll();
        const frozenMs = systemClock.monotonicMs() - this.#begunMs;
        await this.#expiring;
        report({ kind: 'thawed', intact: isIntact && wereFrozen, stuck, frozenMs });
        break;
      }
    }
  }

  /** Thaws everything, also what is still freezing; resolves when that is done. */
  async leave(): Promise<void> {
    this.#bound.abort();
    await this.#thawAll();
    await this.#freezing;
  }

  async #freezeAll(): Promise<void> {
    this.#isExpedited = beginExpedited();
    this.#begunMs = systemClock.monotonicMs();
    for (let index = 0; index < this.#count && !this.#isOver; index += 1) {
      const fd = firstFileDescriptor + index;
      report({ kind: 'freezing', index });
      try {
        await freezeFileSystem(fd);
      } catch (error) {
        report({ kind: 'not-frozen', index });
        this.#bound.abort();
        const wasOver = this.#isOver;
        await this.#thawAll();
        if (!wasOver) report({ kind: 'refused', index, errno: errnoOf(error) });
        return;
      }
      this.#frozen.push(fd);
    }
    if (this.#isOver) {
      // The bound passed, or everybody left, while the call hung.
      await this.#thawAll();
      return;
    }
    this.#isComplete = true;
    report({ kind: 'all-frozen' });
  }

  async #expire(): Promise<void> {
    const signal = this.#bound.signal;
    const hasPassed = await systemClock.sleep(this.#boundMs, { signal }).then(
      () => true,
      () => false,
    );
    if (!hasPassed) return;
    const { stuck } = await this.#thawAll();
    report({ kind: 'expired', stuck });
  }

  /** Each once; those that fail do not keep the others. */
  async #thawAll(): Promise<{ readonly wereFrozen: boolean; readonly stuck: string | undefined }> {
    this.#isOver = true;
    const thaws = this.#frozen
      .splice(0)
      .toReversed()
      .map(async (fd) => {
        const wasFrozen = await thawFileSystem(fd);
        report({ kind: 'not-frozen', index: fd - firstFileDescriptor });
        return wasFrozen;
      });
    const results = await Promise.allSettled(thaws);
    if (this.#isExpedited) endExpedited();
    this.#isExpedited = false;
    const failed = results.find((result) => result.status === 'rejected');
    return {
      wereFrozen: results.every((result) => result.status === 'fulfilled' && result.value),
      stuck: failed === undefined ? undefined : errnoOf(failed.reason),
    };
  }
}

function errnoOf(error: unknown): string {
  return error instanceof KernelError ? error.errno : String(error);
}

/** Written at once, so that what is told before a call is told before it. Nobody may be there to read it. */
function report(message: GuardReport): void {
  try {
    writeSync(1, `${JSON.stringify(message)}\n`);
  } catch {
    // The pipe's other end is closed: its closing is what we act on.
  }
}

/** While others wait for it, it comes first; and when memory is short, others are to die first. */
function askForPrecedence(): void {
  try {
    setPriority(-20);
    writeFileSync('/proc/self/oom_score_adj', '-1000');
  } catch {
    // No privilege: then freezing is refused as well.
  }
}

const [count, boundMs] = process.argv.slice(2).map(Number);
const freezer = new Freezer(count ?? 0, boundMs ?? 0);
const leave = (): void => void freezer.leave().finally(() => process.exit());
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, leave);
let text = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (piece: string) => {
  const lines = (text + piece).split('\n');
  text = lines.pop() ?? '';
  for (const line of lines) void freezer.follow(JSON.parse(line) as GuardOrder);
});
process.stdin.on('end', leave);
process.stdin.on('error', leave);
askForPrecedence();
pageBytes(); // Loads what calls the kernel.
report({ kind: 'ready' });
