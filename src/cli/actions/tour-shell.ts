/**
 * How the tour does things: every command that it prints is run, exactly as printed, as a process of its own in the tour's
 * folder; so what the reader sees is what happened, and what they type gives the same. Each step is kept as data.
 */
import { spawn } from 'node:child_process';

import type { Clock } from '../../std/clock.ts';
import { CliError } from '../shell/cli-error.ts';
import type { Environment } from '../shell/cli-context.ts';
import { formatDuration } from '../shell/sizes.ts';

export interface TourShellParts {
  readonly folder: string;
  /** The variables that the commands see. */
  readonly env: Environment;
  /** Takes one line for the reader. */
  readonly say: (line: string) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** One step, with stable field names. */
export interface TourStep {
  readonly name: string;
  readonly command: string | undefined;
  readonly exitCode: number | undefined;
  readonly durationMs: number;
  readonly readBytes: number | undefined;
  readonly storedBytes: number | undefined;
  /** What came of it, checked. */
  readonly result: string;
}

/** What a step found out about itself. */
export type StepResult = Pick<TourStep, 'result'> & Partial<Pick<TourStep, 'readBytes' | 'storedBytes'>>;

export interface StepOptions {
  /** A few words, for the table. */
  readonly name: string;
  /** One line that says what the step is for. */
  readonly why: string;
}

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
}

export class TourShell {
  readonly #parts: TourShellParts;
  readonly steps: TourStep[] = [];

  constructor(parts: TourShellParts) {
    this.#parts = parts;
  }

  /**
   * Runs a command line of a shell; `judge` checks what it printed and says what came of it.
   * @throws {CliError} `tour-failed` when it ends with another status than `exitCode` (0 by default), or from `judge`
   */
  async command<Value extends StepResult>(
    command: string,
    options: StepOptions & { readonly exitCode?: number },
    judge: (ran: Ran) => Promise<Value> | Value,
  ): Promise<Value> {
    const { exitCode = 0 } = options;
    return await this.#step(options, { command, exitCode }, async () => {
      const { status, ...ran } = await this.#run(command);
      check(status === exitCode, `${command} ended with status ${status} instead of ${exitCode}\n${ran.stderr.trim()}`);
      return async () => await judge(ran);
    });
  }

  /** Does what has no command, or what the tour does itself; `byHand` is a command that does the same. */
  async work<Value extends StepResult>(
    options: StepOptions & { readonly byHand?: string },
    work: () => Promise<Value>,
  ): Promise<Value> {
    return await this.#step(options, { command: options.byHand, exitCode: undefined }, async () => {
      const value = await work();
      return () => Promise.resolve(value);
    });
  }

  /** The time is that of `start`; what it returns is the judging, which is not the command's time. */
  async #step<Value extends StepResult>(
    { name, why }: StepOptions,
    { command, exitCode }: Pick<TourStep, 'command' | 'exitCode'>,
    start: () => Promise<() => Promise<Value>>,
  ): Promise<Value> {
    const { say, clock, signal } = this.#parts;
    signal.throwIfAborted();
    say('');
    say(`${this.steps.length + 1}. ${why}`);
    if (command !== undefined) say(`   $ ${command}`);
    const startedMs = clock.monotonicMs();
    const judge = await start();
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    const value = await judge();
    const { readBytes, storedBytes, result } = value;
    say(`   ${result} (${formatDuration(durationMs)})`);
    this.steps.push({ name, command, exitCode, durationMs, readBytes, storedBytes, result });
    return value;
  }

  /** In a process group of its own, so that a Ctrl-C reaches the tour alone and all of the command ends through it. */
  async #run(command: string): Promise<Ran & { readonly status: number }> {
    const { folder, env, signal } = this.#parts;
    const child = spawn('/bin/sh', ['-c', command], {
      cwd: folder,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    child.once('error', (cause) => reject(new CliError('tour-failed', `run ${command}`, { cause })));
    child.once('close', (code, name) => resolve(code ?? (name === null ? 1 : 128)));
    const [stdout, stderr] = [gather(child.stdout), gather(child.stderr)];
    const end = (): void => killGroup(child.pid, 'SIGTERM');
    const endNow = (): void => killGroup(child.pid, 'SIGKILL');
    signal.addEventListener('abort', end, { once: true });
    process.once('exit', endNow);
    try {
      const status = await promise;
      signal.throwIfAborted();
      return { status, stdout: stdout(), stderr: stderr() };
    } finally {
      signal.removeEventListener('abort', end);
      process.off('exit', endNow);
    }
  }
}

/** Every claim of the tour goes through here. @throws {CliError} `tour-failed` */
export function check(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new CliError('tour-failed', otherwise);
}

/** A word as a shell needs it written. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function gather(stream: NodeJS.ReadableStream): () => string {
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  return () => Buffer.concat(pieces).toString();
}

function killGroup(pid: number | undefined, name: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch {
    // It has ended by itself.
  }
}
