import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDray, type DrayEnded, type DrayPlace, type DrayProcess } from './run-dray.ts';

export interface KillPoint {
  readonly args: readonly string[];
  /** What the kernel counts of a process: bytes read, or written, by system calls. */
  readonly counter: 'rchar' | 'wchar';
  /** The kill comes `pauseMs` after the counter has passed this. By bytes, so that points spread evenly on any machine. */
  readonly fromBytes: number;
  readonly pauseMs: number;
  /** SIGKILL unless told. */
  readonly signal?: NodeJS.Signals;
}

export interface Killed {
  /** False when the program had ended before. */
  readonly killed: boolean;
  /** The counter just before the kill; 0 when the program had ended. */
  readonly countedBytes: number;
  readonly ended: DrayEnded;
}

/** Runs a command and sends it a signal on its way. */
export async function runAndKill(
  place: DrayPlace,
  { args, counter, fromBytes, pauseMs, signal = 'SIGKILL' }: KillPoint,
): Promise<Killed> {
  const run = startDray(place, args);
  await hasCounted(run, counter, fromBytes);
  await Promise.race([run.ended, sleep(pauseMs)]);
  const countedBytes = await countOf(run.pid, counter);
  run.signal(signal);
  const { exitCode, ...output } = await run.ended;
  return { killed: exitCode === undefined, countedBytes, ended: { exitCode, ...output } };
}

/** Resolves when a program has read or written so much, or has ended. */
export async function hasCounted(
  { pid, ended }: DrayProcess,
  counter: KillPoint['counter'],
  bytes: number,
): Promise<void> {
  let over = false;
  const stop = (): void => void (over = true);
  ended.then(stop, stop);
  while (!over && (await countOf(pid, counter)) < bytes) await sleep(1);
}

async function countOf(pid: number, counter: string): Promise<number> {
  const io = await readFile(`/proc/${pid}/io`, 'utf8').catch(() => '');
  const line = io.split('\n').find((text) => text.startsWith(`${counter}: `));
  return Number(line?.slice(counter.length + 2) ?? 0);
}
