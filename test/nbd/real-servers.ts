/** Real NBD servers as processes: QEMU's `qemu-nbd`, and `nbdkit`. A machine without them skips what needs them; CI fails instead. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listenHere } from '../support/listen-here.ts';
import { temporaryFolder } from '../support/temporary.ts';

export interface RealServer extends AsyncDisposable {
  /** Of its default export, or of the one called `disk`. */
  readonly url: string;
  /** Ends it as a power cut would. */
  kill(): Promise<void>;
}

/** Why tests with these programs are skipped, or false. @throws {Error} in CI, where they must be there */
export function programsMissing(...names: readonly string[]): string | false {
  const missing = names.filter((name) => spawnSync(name, ['--version']).error !== undefined);
  if (missing.length === 0) return false;
  const reason = `needs ${missing.join(', ')}: apt-get install qemu-utils qemu-system-common nbdkit openssl`;
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

/** `args` come before the place to listen at. */
export async function startQemuNbd(args: readonly string[], place: Place = {}): Promise<RealServer> {
  const listen =
    place.socket === undefined
      ? ['-b', '127.0.0.1', '-p', String(place.port ?? (await freePort()))]
      : ['-k', place.socket];
  return await start('qemu-nbd', (pidFile) => ['-t', '-x', 'disk', '--pid-file', pidFile, ...listen, ...args], {
    ...place,
    listen,
  });
}

export async function startNbdkit(args: readonly string[], place: Place = {}): Promise<RealServer> {
  const listen =
    place.socket === undefined
      ? ['-i', '127.0.0.1', '-p', String(place.port ?? (await freePort()))]
      : ['-U', place.socket];
  return await start('nbdkit', (pidFile) => ['-f', '-P', pidFile, ...listen, ...args], { ...place, listen });
}

export interface Place {
  readonly socket?: string;
  readonly port?: number;
  /** `nbds` for TLS; what comes behind the address, such as parameters of TLS. */
  readonly scheme?: 'nbd' | 'nbds';
  readonly parameters?: string;
}

async function start(
  program: string,
  args: (pidFile: string) => readonly string[],
  { socket, scheme = 'nbd', parameters = '', listen }: Place & { readonly listen: readonly string[] },
): Promise<RealServer> {
  const server = await startListening(program, args);
  const url =
    socket === undefined ? `${scheme}://127.0.0.1:${listen[3]}/disk` : `${scheme}+unix:///disk?socket=${socket}`;
  const query = parameters === '' ? '' : `${socket === undefined ? '?' : '&'}${parameters}`;
  return { url: url + query, ...server };
}

/** Starts a program that writes the pid file which it is told once it listens. */
export async function startListening(
  program: string,
  args: (pidFile: string) => readonly string[],
): Promise<Omit<RealServer, 'url'>> {
  const folder = await temporaryFolder('nbd-server');
  const pidFile = join(folder.path, 'pid');
  const child = spawn(program, args(pidFile), { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  };
  try {
    await written(pidFile, child, () => said);
  } catch (error) {
    await kill();
    await folder[Symbol.asyncDispose]();
    throw error;
  }
  return {
    kill,
    [Symbol.asyncDispose]: async () => {
      await kill();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** All programs here write it when they listen. */
async function written(pidFile: string, child: ChildProcess, said: () => string): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    if ((await readFile(pidFile, 'utf8').catch(() => '')) !== '') return;
    await sleep(10);
  }
  throw new Error(`${child.spawnargs.join(' ')} does not listen: ${said()}`);
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenHere(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}
