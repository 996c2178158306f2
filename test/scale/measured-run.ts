/** A program run to its end, with the time it took and the most memory that it held. */
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';

export interface MeasuredRun {
  readonly stdout: string;
  readonly seconds: number;
  /** Of the process itself: the kernel's own high-water mark, seen at most 50 ms before its end. */
  readonly peakBytes: number;
}

/** How often the high-water mark is looked at: it only grows, so the last look counts. */
const lookMs = 50;

/** @throws {Error} with what it printed, when it ends with another status than 0 */
export async function measuredRun(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<MeasuredRun> {
  const started = process.hrtime.bigint();
  const child = spawn(program, [...args], { env: { ...process.env, ...environment } });
  let peakBytes = 0;
  const look = setInterval(() => {
    void peakOf(child.pid).then((bytes) => (peakBytes = Math.max(peakBytes, bytes)));
  }, lookMs);
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (piece: Buffer) => (output.stdout += piece.toString()));
  child.stderr.on('data', (piece: Buffer) => (output.stderr += piece.toString()));
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on('error', reject);
  child.on('close', resolve);
  const status = await promise.finally(() => clearInterval(look));
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  if (status === 0) return { stdout: output.stdout, seconds, peakBytes };
  throw new Error(`${program} ${args.join(' ')} ended with ${status}\n${output.stderr.slice(-4000)}`);
}

async function peakOf(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}
