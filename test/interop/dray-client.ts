/** The built program as a part of tests: `bin/dray` with a home of its own, on one repository folder. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';

import { memoryFolder, type TemporaryFolder } from '../support/temporary.ts';

const program = join(import.meta.dirname, '../../bin/dray');

/** A dray command that ended with another status than 0. */
export class DrayFailed extends Error {
  readonly exitCode: number | undefined;
  readonly stderr: string;

  constructor(args: readonly string[], run: { exitCode: number | undefined; stdout: string; stderr: string }) {
    super(`dray ${args.join(' ')} ended with ${run.exitCode ?? 'no status'}\n${run.stderr}${run.stdout}`);
    this.exitCode = run.exitCode;
    this.stderr = run.stderr;
  }
}

/** What `-o json` prints of a snapshot; the fields that tests look at. */
export interface DraySnapshot {
  readonly id: string;
  readonly source: string;
  readonly startTime: string;
  readonly sizeBytes: number;
  readonly pins: readonly string[];
  readonly rootObject: string;
}

export interface DrayExpired {
  readonly id: string;
  readonly expired: boolean;
  readonly reasons: readonly string[];
}

export interface DrayStatus {
  readonly hash: string;
  readonly encryption: string;
  readonly eccOverheadPercent: number;
  readonly splitter: string;
  readonly formatVersion: number;
  readonly indexVersion: number;
  readonly indexBlobs: number;
  readonly contents: number;
  readonly deletedContents: number;
}

export interface DrayBackup {
  readonly snapshot: string;
  readonly parent?: string;
  readonly rung: string;
  readonly newBytes: number;
  readonly requests: { readonly puts: number; readonly putBytes: number; readonly gets: number };
}

export class DrayClient implements AsyncDisposable {
  readonly repository: string;
  password: string;
  readonly #home: TemporaryFolder;

  readonly #identity: string | undefined;

  private constructor(
    repository: string,
    password: string,
    { home, identity }: { home: TemporaryFolder; identity?: string },
  ) {
    this.repository = repository;
    this.password = password;
    this.#home = home;
    this.#identity = identity;
  }

  /** @param identity whom it speaks as; the user of this machine otherwise */
  static async open(
    repository: string,
    password: string,
    identity?: { readonly user: string; readonly host: string },
  ): Promise<DrayClient> {
    const home = await memoryFolder('client');
    if (identity === undefined) return new DrayClient(repository, password, { home });
    return new DrayClient(repository, password, { home, identity: `${identity.user}@${identity.host}` });
  }

  async create(options: readonly string[] = []): Promise<void> {
    await this.run(['repository', 'create', this.repository, ...options]);
  }

  async status(): Promise<DrayStatus> {
    return (await this.json(['repository', 'status'])) as DrayStatus;
  }

  /** Backs up an image; the id of the new snapshot and what the run did. */
  async backup(source: string, options: readonly string[] = []): Promise<DrayBackup> {
    return (await this.json(['backup', source, ...options])) as DrayBackup;
  }

  async restore(snapshot: string, target: string): Promise<void> {
    await this.run(['restore', snapshot, target]);
  }

  async snapshotList(): Promise<readonly DraySnapshot[]> {
    return (await this.json(['snapshot', 'list'])) as readonly DraySnapshot[];
  }

  /** Reads and hashes everything. @throws {DrayFailed} when anything is damaged */
  async verify(): Promise<void> {
    await this.run(['repository', 'verify', '--level', 'data']);
  }

  async json(args: readonly string[]): Promise<unknown> {
    return JSON.parse(await this.run([...args, '-o', 'json']));
  }

  /** Runs a command and gives what it printed. @throws {DrayFailed} */
  async run(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const own = {
      DRAY_REPOSITORY: this.repository,
      DRAY_PASSWORD: this.password,
      DRAY_CACHE_DIR: join(this.#home.path, 'cache'),
    };
    const env = { ...process.env, ...own, ...environment };
    const global = this.#identity === undefined ? [] : ['--identity', this.#identity];
    execFile(program, [...global, ...args], { env, maxBuffer: 256 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const exitCode = typeof error.code === 'number' ? error.code : undefined;
      reject(new DrayFailed(args, { exitCode, stdout, stderr }));
    });
    return await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#home[Symbol.asyncDispose]();
  }
}
