/** The real program as a child process, which can be killed: `bin/dray` with everything it reads from outside given. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

const program = join(import.meta.dirname, '../../bin/dray');

/** What the program is told by its environment. */
export interface DrayPlace {
  readonly repository: string;
  readonly cache: string;
  readonly password: string;
  readonly pool?: string;
  /** Where it runs; absent: where the tests do. */
  readonly cwd?: string;
}

export interface DrayEnded {
  /** Absent when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface DrayProcess {
  readonly pid: number;
  readonly ended: Promise<DrayEnded>;
  /** Resolves when standard error has said something that matches; undefined when it ended without. */
  said(pattern: RegExp): Promise<string | undefined>;
  signal(name: NodeJS.Signals): void;
}

export function startDray({ repository, cache, password, pool, cwd }: DrayPlace, args: readonly string[]): DrayProcess {
  const named = { DRAY_REPOSITORY: repository, DRAY_CACHE_DIR: cache, DRAY_PASSWORD: password };
  const env = { ...process.env, ...named, ...(pool !== undefined && { DRAY_POOL: pool }) };
  const child = spawn(program, [...args], { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = Promise.withResolvers<DrayEnded>();
  child.on('error', ended.reject);
  const output = Promise.all([text(child.stdout), text(child.stderr)]);
  child.on('close', (code) => {
    output.then(([stdout, stderr]) => ended.resolve({ exitCode: code ?? undefined, stdout, stderr }), ended.reject);
  });
  return {
    pid: child.pid ?? 0,
    ended: ended.promise,
    said: async (pattern) => await firstMatch(child.stderr, ended.promise, pattern),
    signal: (name) => void child.kill(name),
  };
}

/** Runs a command to its end, whatever that is. */
export async function runDray(place: DrayPlace, args: readonly string[]): Promise<DrayEnded> {
  return await startDray(place, args).ended;
}

/** Runs a command that must succeed. @returns what it printed with `-o json` */
export async function drayJson<T>(place: DrayPlace, args: readonly string[]): Promise<T> {
  const { exitCode, stdout, stderr } = await runDray(place, [...args, '-o', 'json']);
  if (exitCode !== 0) throw new Error(`dray ${args.join(' ')} ended with ${exitCode}\n${stderr}${stdout}`);
  return JSON.parse(stdout) as T;
}

/** The fields of `dray backup -o json` that tests look at. */
export interface BackupPrinted {
  readonly snapshot: string;
  readonly resumed: boolean;
  readonly readBytes: number;
  readonly newBytes: number;
  readonly rung: string;
}

/** The fields of `dray restore -o json` that tests look at. */
export interface RestorePrinted {
  readonly resumed: boolean;
  readonly fetchedBytes: number;
}

async function firstMatch(stderr: Readable, ended: Promise<unknown>, pattern: RegExp): Promise<string | undefined> {
  const found = Promise.withResolvers<string | undefined>();
  let soFar = '';
  const onData = (piece: Buffer): void => {
    soFar += piece.toString();
    const match = pattern.exec(soFar);
    if (match !== null) found.resolve(match[0]);
  };
  stderr.on('data', onData);
  ended.finally(() => found.resolve(undefined)).catch(() => undefined);
  try {
    return await found.promise;
  } finally {
    stderr.off('data', onData);
  }
}
