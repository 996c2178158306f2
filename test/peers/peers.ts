/**
 * The real `kopia` as a part of tests. It is never downloaded: `test/peers/build.sh` builds it from pinned sources.
 * A machine without it skips the tests that need it and says so; CI fails instead, so that interop cannot rot unseen.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';

import { memoryFolder, type TemporaryFolder } from '../support/temporary.ts';

export type PeerName = 'kopia' | 'kopia-clock' | 'restic' | 'versitygw' | 'minio' | 'qemu-storage-daemon';

/** The path of a peer program: `$DRAY_KOPIA` (or `$DRAY_KOPIA_CLOCK`, …), the cache that build.sh fills, then `PATH`. */
export async function findPeer(name: PeerName): Promise<string | undefined> {
  const named = process.env[variableOf(name)];
  const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'drayage', 'peers', name);
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = named ? [named] : [cache, ...folders.map((folder) => join(folder, name))];
  for (const candidate of candidates) {
    if (await isExecutable(candidate)) return candidate;
  }
  return undefined;
}

function variableOf(name: PeerName): string {
  return `DRAY_${name.toUpperCase().replaceAll('-', '_')}`;
}

export async function findKopia(): Promise<string | undefined> {
  return await findPeer('kopia');
}

export async function requireKopia(test: TestContext): Promise<string | undefined> {
  return await requirePeer(test, 'kopia');
}

/** The path of a peer, or `undefined` after the test was marked as skipped with the reason. @throws {Error} as `whyWithout` */
export async function requirePeer(test: TestContext, name: PeerName): Promise<string | undefined> {
  const reason = await whyWithout(name);
  if (reason !== undefined) test.skip(reason);
  return reason === undefined ? await findPeer(name) : undefined;
}

/**
 * Why tests that need the peer must be skipped; undefined when it is there.
 * @throws {Error} in CI (`CI` is set), where a missing peer is a failure
 */
export async function whyWithout(name: PeerName): Promise<string | undefined> {
  if ((await findPeer(name)) !== undefined) return undefined;
  const reason = `${name} is not there: run test/peers/build.sh ${name}, or set ${variableOf(name)}`;
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

export interface KopiaRun {
  readonly stdout: string;
  readonly stderr: string;
}

/** A kopia command that exited with a status other than 0, or did not start. */
export class KopiaFailed extends Error {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;

  constructor(
    args: readonly string[],
    run: KopiaRun & { readonly exitCode: number | undefined; readonly cause: unknown },
  ) {
    super(`kopia ${args.join(' ')} ended with ${run.exitCode ?? 'no status'}\n${run.stderr}${run.stdout}`, {
      cause: run.cause,
    });
    this.exitCode = run.exitCode;
    this.stdout = run.stdout;
    this.stderr = run.stderr;
  }
}

/** What `kopia snapshot list --json` prints of a snapshot; the fields that tests look at. */
export interface KopiaSnapshot {
  readonly id: string;
  readonly source: { readonly host: string; readonly userName: string; readonly path: string };
  readonly description: string;
  readonly startTime: string;
  readonly endTime: string;
  readonly incomplete?: string;
  readonly rootEntry: { readonly name: string; readonly type: string; readonly obj: string };
  readonly tags?: Readonly<Record<string, string>>;
  readonly pins?: readonly string[];
}

/** What a client is asked to be; kopia's own user and host otherwise. */
export interface KopiaIdentity {
  readonly user: string;
  readonly host: string;
}

export interface KopiaOptions {
  readonly signal?: AbortSignal;
  /** Where the peer `kopia-clock` asks for the time. */
  readonly clockUrl?: string;
}

export interface KopiaConnection {
  readonly password: string;
  readonly create?: boolean;
  readonly identity?: KopiaIdentity;
}

/**
 * One real kopia client with a configuration, cache and log folder of its own, on one repository folder.
 * Calls do not overlap. Disposing removes the client's folders and leaves the repository.
 */
export class KopiaClient implements AsyncDisposable {
  readonly repository: string;
  readonly #program: string;
  readonly #home: TemporaryFolder;
  readonly #options: KopiaOptions;
  #password = '';

  private constructor(program: string, repository: string, home: TemporaryFolder, options: KopiaOptions) {
    this.#program = program;
    this.repository = repository;
    this.#home = home;
    this.#options = options;
  }

  static async open(program: string, repository: string, options: KopiaOptions = {}): Promise<KopiaClient> {
    const home = await memoryFolder('kopia');
    return new KopiaClient(program, repository, home, options);
  }

  /** Creates the repository and connects to it. `options` are further flags, such as `--object-splitter=FIXED-1M`. */
  async create(
    password: string,
    options: readonly string[] = [],
    identity: KopiaIdentity = defaultIdentity,
  ): Promise<void> {
    this.#password = password;
    await mkdir(this.repository, { recursive: true });
    await this.run([
      'repository',
      'create',
      'filesystem',
      `--path=${this.repository}`,
      ...overrides(identity),
      ...options,
    ]);
  }

  async connect(password: string, identity: KopiaIdentity = defaultIdentity): Promise<void> {
    await this.connectTo(['filesystem', `--path=${this.repository}`], { password, identity });
  }

  /** Connects to, or creates, a repository that is no folder: `storage` is such as `s3 --bucket=…`. */
  async connectTo(
    storage: readonly string[],
    { password, create = false, identity = defaultIdentity }: KopiaConnection,
  ): Promise<void> {
    this.#password = password;
    await this.run(['repository', create ? 'create' : 'connect', ...storage, ...overrides(identity)]);
  }

  /** Every complete snapshot of every source; with `incomplete`, those under way too. */
  async snapshotList(options: { readonly incomplete?: boolean } = {}): Promise<readonly KopiaSnapshot[]> {
    const flags = options.incomplete ? ['--incomplete'] : [];
    const { stdout } = await this.run(['snapshot', 'list', '--all', '--show-identical', '--json', ...flags]);
    return JSON.parse(stdout) as readonly KopiaSnapshot[];
  }

  /** Reads every byte of every file of every snapshot. @throws {KopiaFailed} when one cannot be read */
  async verify(): Promise<KopiaRun> {
    return await this.run(['snapshot', 'verify', '--verify-files-percent=100']);
  }

  /** Restores a snapshot (or any object path, such as `kabc/disk.img`) to `target`. */
  async restore(id: string, target: string): Promise<KopiaRun> {
    return await this.run(['snapshot', 'restore', id, target]);
  }

  /** Reads and authenticates every content. @throws {KopiaFailed} */
  async contentVerify(): Promise<KopiaRun> {
    return await this.run(['content', 'verify', '--download-percent=100']);
  }

  /** A full maintenance now; `safety: 'none'` also removes what was written a moment ago. */
  async maintenanceFull({ safety }: { readonly safety: 'full' | 'none' }): Promise<KopiaRun> {
    return await this.run(['maintenance', 'run', '--full', `--safety=${safety}`]);
  }

  /** A quick maintenance now. */
  async maintenanceQuick(): Promise<KopiaRun> {
    return await this.run(['maintenance', 'run']);
  }

  /**
   * Runs any kopia command on this client.
   * @param call.signal instead of the client's
   * @throws {KopiaFailed} when it ends with another status than 0
   */
  async run(args: readonly string[], call: Pick<KopiaOptions, 'signal'> = this.#options): Promise<KopiaRun> {
    const { promise, resolve, reject } = Promise.withResolvers<KopiaRun>();
    const options = {
      env: { ...process.env, ...this.#environment() },
      maxBuffer: 256 * 1024 * 1024,
      ...(call.signal && { signal: call.signal }),
    };
    execFile(this.#program, [...args], options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr });
      else reject(new KopiaFailed(args, { stdout, stderr, cause: error, exitCode: exitCodeOf(error) }));
    });
    return await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#home[Symbol.asyncDispose]();
  }

  #environment(): Record<string, string> {
    return {
      KOPIA_CONFIG_PATH: join(this.#home.path, 'repository.config'),
      KOPIA_CACHE_DIRECTORY: join(this.#home.path, 'cache'),
      KOPIA_LOG_DIR: join(this.#home.path, 'logs'),
      KOPIA_CHECK_FOR_UPDATES: 'false',
      KOPIA_PERSIST_CREDENTIALS_ON_CONNECT: 'false',
      KOPIA_PASSWORD: this.#password,
      ...(this.#options.clockUrl !== undefined && { KOPIA_FAKE_CLOCK_ENDPOINT: this.#options.clockUrl }),
    };
  }
}

const defaultIdentity: KopiaIdentity = { user: 'tester', host: 'fixture' };

function overrides({ user, host }: KopiaIdentity): string[] {
  return [`--override-username=${user}`, `--override-hostname=${host}`];
}

function exitCodeOf(error: { readonly code?: unknown }): number | undefined {
  return typeof error.code === 'number' ? error.code : undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
