/**
 * How far long work has come, on stderr. A terminal gets one line that is rewritten; anything else gets a plain line now and
 * then, so that a log stays short. Work that ends within a second shows nothing. Nothing here starts a timer: the work's
 * own updates drive it, and most of them cost one comparison of the clock.
 */
import type { Clock } from '../../std/clock.ts';
import { formatSize } from '../../std/format-size.ts';
import { printable } from './printable.ts';
import { formatDuration, formatRate } from './sizes.ts';

export interface ProgressState {
  /** What is happening now, such as `reading`; a change of phase starts the rate anew. */
  readonly phase: string;
  readonly doneBytes: number;
  /** 0 when nobody knows. */
  readonly totalBytes: number;
  readonly changedBytes?: number | undefined;
  /** Bytes that were really written to the store or the target. */
  readonly storedBytes?: number | undefined;
}

export interface Progress {
  /** May be called as often as the work likes. */
  update(state: ProgressState): void;
  /** Puts a line of text above the progress line. */
  note(text: string): void;
  /** Takes the progress line away; the command's result follows. Idempotent. */
  end(): void;
}

export interface ProgressSink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** Nothing is shown before this, milliseconds. */
const quietMs = 1000;
const terminalIntervalMs = 200;
const plainIntervalMs = 10_000;
/** The rate forgets what is this long past, milliseconds, so that it follows the work and does not flicker. */
const rateMemoryMs = 5000;

export function createProgress(
  sink: ProgressSink,
  { clock, quiet }: { readonly clock: Clock; readonly quiet: boolean },
): Progress {
  if (quiet) return { update: () => {}, note: () => {}, end: () => {} };
  return new ProgressLine(sink, clock);
}

class ProgressLine implements Progress {
  readonly #sink: ProgressSink;
  readonly #clock: Clock;
  readonly #terminal: boolean;
  #nextMs: number;
  #drawn = false;
  #rate: RateMeter | undefined;
  #phase = '';

  constructor(sink: ProgressSink, clock: Clock) {
    this.#sink = sink;
    this.#clock = clock;
    this.#terminal = sink.isTTY === true;
    this.#nextMs = clock.monotonicMs() + (this.#terminal ? quietMs : plainIntervalMs);
  }

  update(state: ProgressState): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#rate === undefined || state.phase !== this.#phase) {
      this.#phase = state.phase;
      this.#rate = new RateMeter(nowMs, state.doneBytes);
    }
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + (this.#terminal ? terminalIntervalMs : plainIntervalMs);
    const text = progressText(state, this.#rate.measure(nowMs, state.doneBytes));
    if (this.#terminal) this.#draw(text);
    else this.#sink.write(`${text}\n`);
  }

  note(text: string): void {
    this.end();
    this.#sink.write(`${printable(text)}\n`);
  }

  end(): void {
    if (this.#drawn) this.#sink.write('\r\u001b[K');
    this.#drawn = false;
  }

  #draw(text: string): void {
    // A line that wraps could not be rewritten.
    const width = Math.max(20, (this.#sink.columns ?? 80) - 1);
    this.#sink.write(`\r\u001b[K${text.slice(0, width)}`);
    this.#drawn = true;
  }
}

/** Bytes per second over the recent past: each measurement fades with its age. */
class RateMeter {
  #lastMs: number;
  #lastBytes: number;
  #bytesPerMs: number | undefined;

  constructor(nowMs: number, doneBytes: number) {
    this.#lastMs = nowMs;
    this.#lastBytes = doneBytes;
  }

  measure(nowMs: number, doneBytes: number): number {
    const elapsedMs = nowMs - this.#lastMs;
    if (elapsedMs <= 0) return (this.#bytesPerMs ?? 0) * 1000;
    const now = Math.max(0, doneBytes - this.#lastBytes) / elapsedMs;
    const kept = this.#bytesPerMs === undefined ? 0 : Math.exp(-elapsedMs / rateMemoryMs);
    this.#bytesPerMs = now * (1 - kept) + (this.#bytesPerMs ?? 0) * kept;
    this.#lastMs = nowMs;
    this.#lastBytes = doneBytes;
    return this.#bytesPerMs * 1000;
  }
}

function progressText(state: ProgressState, bytesPerSecond: number): string {
  const { phase, doneBytes, totalBytes, changedBytes, storedBytes } = state;
  const parts: string[] = [];
  if (totalBytes > 0) {
    const percent = Math.min(100, Math.floor((doneBytes / totalBytes) * 100));
    parts.push(`${formatSize(doneBytes)} of ${formatSize(totalBytes)} (${percent} %)`);
  } else {
    parts.push(formatSize(doneBytes));
  }
  parts.push(formatRate(bytesPerSecond));
  const leftBytes = totalBytes - doneBytes;
  if (totalBytes > 0 && leftBytes > 0 && bytesPerSecond > 0) {
    parts.push(`ETA ${formatDuration((leftBytes / bytesPerSecond) * 1000)}`);
  }
  if (changedBytes !== undefined) parts.push(`changed ${formatSize(changedBytes)}`);
  if (storedBytes !== undefined) parts.push(`stored ${formatSize(storedBytes)}`);
  return `${printable(phase)}: ${parts.join(', ')}`;
}
