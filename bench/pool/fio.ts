/**
 * `fio` as the application: random pages with a rate, as a database writes them, with the latency of each, and a log that
 * goes round beside them. Requests go one at a time, past the page cache of the file system in the volume.
 */
import { spawn, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Workspace } from '../workspace.ts';

export interface Load {
  /** Where the file system is mounted. */
  readonly folder: string;
  readonly pagesBytes: number;
  /** Of 4 KiB, a second. */
  readonly pagesPerSecond: number;
  /** `randrw`: as many are read as written. */
  readonly pages: 'randwrite' | 'randrw';
  /** Of the log; 0 without one. */
  readonly logBytesPerSecond: number;
}

/** One request of the application. Milliseconds since the Unix epoch. */
export interface Request {
  readonly endedMs: number;
  readonly latencyMs: number;
}

const pageBytes = 4096;
const logBytes = 128 * 1024 * 1024;

/** Why there is none, or `undefined`. */
export function fioMissing(): string | undefined {
  return spawnSync('fio', ['--version']).status === 0 ? undefined : 'needs fio';
}

/** Writes the application's files once, so that the load overwrites what is there. */
export function layOut({ folder, pagesBytes, logBytesPerSecond }: Load): void {
  const files = [
    ['pages', pagesBytes],
    ['log', logBytesPerSecond === 0 ? 0 : logBytes],
  ] as const;
  for (const [name, size] of files) {
    if (size === 0) continue;
    const args = [`--name=${name}`, `--filename=${join(folder, name)}`, `--size=${size}`, '--rw=write', '--bs=1m'];
    const { status, stderr } = spawnSync('fio', [...args, '--direct=1', '--end_fsync=1'], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`fio: ${stderr}`);
  }
}

export interface RunningLoad extends AsyncDisposable {
  /** Ends it. @returns the requests for pages */
  stop(): Promise<Request[]>;
}

/** Runs until it is stopped. */
export async function startLoad(load: Load, workspace: Workspace): Promise<RunningLoad> {
  const name = 'fio-latencies';
  const every = ['--ioengine=psync', '--direct=1', '--time_based', '--runtime=24h', '--disable_slat=1'];
  const pages = [
    '--name=pages',
    `--filename=${join(load.folder, 'pages')}`,
    `--size=${load.pagesBytes}`,
    `--rw=${load.pages}`,
    `--bs=${pageBytes}`,
    `--rate_iops=${load.pages === 'randrw' ? `${load.pagesPerSecond / 2},${load.pagesPerSecond / 2}` : load.pagesPerSecond}`,
    '--norandommap',
    '--disable_clat=1',
    `--write_lat_log=${workspace.path(name)}`,
    '--log_unix_epoch=1',
    ...every,
  ];
  const log = [
    '--name=log',
    `--filename=${join(load.folder, 'log')}`,
    `--size=${logBytes}`,
    '--rw=write',
    '--bs=64k',
    `--rate=${load.logBytesPerSecond}`,
    ...every,
  ];
  const child = spawn('fio', [...pages, ...(load.logBytesPerSecond === 0 ? [] : log)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const said: Buffer[] = [];
  child.stderr.on('data', (piece: Buffer) => said.push(piece));
  let stopped = false;
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  child.once('error', reject);
  child.once('close', (status) => {
    if (stopped) resolve();
    else reject(new Error(`fio ended with ${status}: ${Buffer.concat(said).toString()}`));
  });
  ended.catch(() => {}); // Seen by who stops it.
  const end = async (): Promise<void> => {
    stopped = true;
    child.kill('SIGINT'); // It writes its logs then.
    await ended;
  };
  return {
    stop: async () => {
      await end();
      const file = `${name}_lat.1.log`;
      const requests = parseLog(await readFile(workspace.path(file), 'utf8'));
      await workspace.remove(file);
      return requests;
    },
    [Symbol.asyncDispose]: async () => {
      if (!stopped) await end();
    },
  };
}

/** Lines of `milliseconds, nanoseconds, direction, bytes, …`, written when the request ended. */
function parseLog(text: string): Request[] {
  return text
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [endedMs, nanoseconds] = line.split(',').map(Number);
      return { endedMs: endedMs!, latencyMs: nanoseconds! / 1e6 };
    });
}
