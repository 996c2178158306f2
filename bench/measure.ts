/**
 * One command, measured: wall time from before it is started until it has ended, its user and system CPU seconds as the
 * kernel counts them for ended children, and the peak of its resident memory. The peak is `VmHWM`, read while it runs: the
 * `ru_maxrss` of a child begins with that of the process that forked it, which for a small program is the larger one.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type koffi from 'koffi';

import { abortReason } from '../src/std/abort.ts';

export interface Measurement {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly stdout: string;
}

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** On top of the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const peakIntervalMs = 5;
const rusageBytes = 144;
const RUSAGE_CHILDREN = -1;

const ffi = createRequire(import.meta.url)('koffi') as typeof koffi;
const getrusage = ffi.load(null).func('int getrusage(int who, void* usage)') as (who: number, usage: Buffer) => number;

/** Runs one command to its end; no other child of this process may run meanwhile. Throws what it said when it fails. */
export async function measure({ program, args, env, signal }: Command): Promise<Measurement> {
  signal.throwIfAborted();
  const cpuBefore = childrenCpuSeconds();
  const started = performance.now();
  const child = spawn(program, [...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let peakBytes = 0;
  const look = (): void => {
    if (child.pid !== undefined) peakBytes = Math.max(peakBytes, peakOf(child.pid));
  };
  // It has ended, too, when this function does: what it works on is removed next.
  const end = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  const timer = setInterval(look, peakIntervalMs);
  const [stdout, stderr] = [gather(child.stdout), gather(child.stderr)];
  try {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let wallSeconds = 0;
    child.once('error', reject);
    child.once('exit', () => {
      wallSeconds = (performance.now() - started) / 1000;
    });
    child.once('close', (status, name) => {
      if (signal.aborted) reject(abortReason(signal));
      else if (status === 0) resolve();
      else reject(new Error(`${program} ${args.join(' ')} ended with ${status ?? name}\n${stderr()}${stdout()}`));
    });
    await promise;
    return { wallSeconds, cpuSeconds: childrenCpuSeconds() - cpuBefore, peakBytes, stdout: stdout() };
  } finally {
    clearInterval(timer);
    signal.removeEventListener('abort', end);
  }
}

/** A run with the flush counted in of what it has left to the kernel for the file system of `folder`; to be called at once after it. */
export async function withFlush(measured: Measurement, { folder, signal }: FlushOptions): Promise<Measurement> {
  const flush = await measure({ program: 'sync', args: ['--file-system', folder], signal });
  return { ...measured, wallSeconds: measured.wallSeconds + flush.wallSeconds };
}

interface FlushOptions {
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** User and system time of all children that have ended. */
function childrenCpuSeconds(): number {
  const usage = Buffer.alloc(rusageBytes);
  if (getrusage(RUSAGE_CHILDREN, usage) !== 0) throw new Error('getrusage failed');
  const seconds = (at: number): number => Number(usage.readBigInt64LE(at)) + Number(usage.readBigInt64LE(at + 8)) / 1e6;
  return seconds(0) + seconds(16);
}

function peakOf(pid: number): number {
  try {
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kibibytes ?? 0) * 1024;
  } catch {
    return 0; // It has ended.
  }
}

function gather(stream: NodeJS.ReadableStream): () => string {
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  return () => Buffer.concat(pieces).toString();
}
