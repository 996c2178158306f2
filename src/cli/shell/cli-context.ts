/**
 * What a command is given besides its own options: the world (streams, clock, randomness, the root signal) and the
 * answers to the questions that every command asks in the same way: which repository, which pool, whose password, which cache, who am I.
 * Values are looked up when they are asked for, so `--help` and wrong usage touch nothing.
 */
import { isAbsolute, join } from 'node:path';
import type { Clock } from '../../std/clock.ts';
import type { Rng } from '../../std/rng.ts';
import { CliError } from './cli-error.ts';
import { type ExitCode, exitCodes } from './exit-code.ts';
import { type CliLog, createLog, type LogLevel } from './log.ts';
import { Output, type OutputFormat, type TextSink } from './output.ts';
import { readPassword } from './password.ts';
import { createProgress, type Progress, type ProgressSink } from './progress.ts';
import { promptSecret } from './prompt-secret.ts';
import { parseSize } from './sizes.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The world, as `programs/` or a test makes it. */
export interface CliParts {
  readonly version: string;
  readonly env: Environment;
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: TextSink & { readonly isTTY?: boolean };
  readonly stderr: ProgressSink;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Aborted with {@link Interrupted} when the program is asked to end. */
  readonly signal: AbortSignal;
  readonly userName: string;
  readonly hostName: string;
  readonly homeDirectory: string;
}

/** The options that stand before or after any command. */
export interface GlobalOptions {
  readonly repository?: string;
  readonly pool?: string;
  readonly passwordFile?: string;
  readonly passwordCommand?: string;
  readonly cacheDir?: string;
  readonly identity?: string;
  /** False with `--no-tls`. */
  readonly tls: boolean;
  readonly output: OutputFormat;
  readonly quiet?: boolean;
  readonly logLevel: LogLevel;
}

/** Metadata is about a thousandth of the data; this holds that of several TiB. */
const cacheSizeBytes = 1024 ** 3;

/** Who writes, in Kopia's words: `userName@host` is the owner of a snapshot's source. */
export interface ClientIdentity {
  readonly userName: string;
  readonly host: string;
}

export class CliContext {
  readonly #parts: CliParts;
  readonly #globals: () => GlobalOptions;
  #progress: Progress | undefined;
  /** How the command ended; set by the command, read by the program. */
  exitCode: ExitCode = exitCodes.done;

  constructor(parts: CliParts, globals: () => GlobalOptions) {
    this.#parts = parts;
    this.#globals = globals;
  }

  get env(): Environment {
    return this.#parts.env;
  }
  get stdout(): CliParts['stdout'] {
    return this.#parts.stdout;
  }
  get stderr(): CliParts['stderr'] {
    return this.#parts.stderr;
  }
  get clock(): Clock {
    return this.#parts.clock;
  }
  get rng(): Rng {
    return this.#parts.rng;
  }
  /** Aborted when the program is asked to end; every command passes it on. */
  get signal(): AbortSignal {
    return this.#parts.signal;
  }

  /** Where the result goes. */
  get output(): Output {
    const { stdout, env } = this.#parts;
    const color = stdout.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
    return new Output(stdout, { format: this.#globals().output, color });
  }

  /** Everything that is not the result. `--quiet` leaves warnings. */
  get log(): CliLog {
    const { quiet, logLevel } = this.#globals();
    return createLog((line) => this.#say(line), quiet && logLevel === 'info' ? 'warn' : logLevel);
  }

  /** True when errors should show their stacks. */
  get debugging(): boolean {
    return this.#globals().logLevel === 'debug';
  }

  /** A new progress line; it takes the place of an earlier one. The command ends it before it prints its result. */
  progress(): Progress {
    this.#progress?.end();
    const { quiet = false } = this.#globals();
    this.#progress = createProgress(this.#parts.stderr, { clock: this.clock, quiet });
    return this.#progress;
  }

  /** The repository's URL: `named` (an argument of the command), `--repository`, or `DRAY_REPOSITORY`. @throws {CliError} `usage` */
  repositoryUrl(named?: string): string {
    const url = named ?? this.#globals().repository ?? this.env['DRAY_REPOSITORY'];
    if (!url) throw new CliError('usage', 'no repository is named: use --repository URL, or set DRAY_REPOSITORY');
    return url;
  }

  /** Whether somebody has said which pool is meant. */
  get poolNamed(): boolean {
    return Boolean(this.#globals().pool ?? this.env['DRAY_POOL']);
  }

  /** Whether the command line itself says which pool is meant: `--pool`. */
  get poolGiven(): boolean {
    return Boolean(this.#globals().pool);
  }

  /** The pool's directory: `named` (an argument of the command), `--pool`, or `DRAY_POOL`. @throws {CliError} `usage` */
  poolPath(named?: string): string {
    const path = named ?? this.#globals().pool ?? this.env['DRAY_POOL'];
    if (!path) throw new CliError('usage', 'no pool is named: use --pool DIR, or set DRAY_POOL');
    return path;
  }

  /** What an S3 repository's URL leaves open: the region of AWS's tools, and whether its endpoint must be https. */
  get s3Defaults(): { readonly region: string | undefined; readonly tls: boolean } {
    const region = this.env['AWS_REGION'] || this.env['AWS_DEFAULT_REGION'] || undefined;
    return { region, tls: this.#globals().tls };
  }

  /** Whether `password` asks nobody, and runs no command that might. */
  get passwordAtHand(): boolean {
    const { passwordFile, passwordCommand } = this.#globals();
    return passwordCommand === undefined && (passwordFile !== undefined || this.env['DRAY_PASSWORD'] !== undefined);
  }

  /** Whether somebody has said where the password is to be found; else it is asked for. */
  get passwordNamed(): boolean {
    const { passwordFile, passwordCommand } = this.#globals();
    return passwordCommand !== undefined || passwordFile !== undefined || this.env['DRAY_PASSWORD'] !== undefined;
  }

  /** The repository's password. `isNew` is for a repository that is being made. @throws {CliError} as `readPassword` */
  async password({ isNew = false }: { readonly isNew?: boolean } = {}): Promise<string> {
    const { passwordFile, passwordCommand } = this.#globals();
    return await this.#readPassword({
      file: passwordFile,
      command: passwordCommand,
      variable: 'DRAY_PASSWORD',
      subject: 'password of the repository',
      isNew,
    });
  }

  /** The password that is to replace the present one, from sources of its own. @throws {CliError} as `readPassword` */
  async newPassword({ file, command }: NewPasswordSources): Promise<string> {
    const subject = 'new password of the repository';
    return await this.#readPassword({ file, command, variable: 'DRAY_NEW_PASSWORD', subject, isNew: true });
  }

  /** `--cache-dir`, `DRAY_CACHE_DIR`, or `drayage` in the XDG cache folder. Not created here; may be deleted at any time. */
  cacheDirectory(): string {
    const named = this.#globals().cacheDir ?? this.env['DRAY_CACHE_DIR'];
    if (named) return named;
    const xdg = this.env['XDG_CACHE_HOME'];
    // The XDG rules say that a relative path is to be ignored.
    const base = xdg && isAbsolute(xdg) ? xdg : join(this.#parts.homeDirectory, '.cache');
    return join(base, 'drayage');
  }

  /** What may be kept of a store that is far away, from DRAY_CACHE_SIZE; 0 for nothing. @throws {CliError} `usage` */
  cacheSizeBytes(): number {
    const named = this.env['DRAY_CACHE_SIZE'];
    if (!named) return cacheSizeBytes;
    try {
      return parseSize(named);
    } catch (cause) {
      if (!(cause instanceof CliError)) throw cause;
      throw new CliError('usage', `DRAY_CACHE_SIZE: ${cause.message}`);
    }
  }

  /** `--identity user@host`, or the user and the short host name in lower case, as Kopia has them. */
  get identity(): ClientIdentity {
    const named = this.#globals().identity;
    if (named === undefined) {
      const host = this.#parts.hostName.split('.')[0]?.toLowerCase();
      return { userName: this.#parts.userName, host: host || 'nohost' };
    }
    const at = named.lastIndexOf('@');
    const identity = { userName: named.slice(0, Math.max(0, at)), host: named.slice(at + 1) };
    if (identity.userName === '' || identity.host === '') {
      throw new CliError('usage', `--identity ${named} is not of the form user@host`);
    }
    return identity;
  }

  /** Takes a progress line away, so that what is printed next starts on a line of its own. */
  endProgress(): void {
    this.#progress?.end();
  }

  #say(line: string): void {
    this.#progress?.end();
    this.stderr.write(`${line}\n`);
  }

  async #readPassword(request: NewPasswordSources & PasswordQuestion): Promise<string> {
    const { file, command, variable, subject, isNew } = request;
    const { stdin, stderr, signal } = this.#parts;
    const prompt =
      stdin.isTTY === true
        ? (question: string) => promptSecret(question, { input: stdin, output: stderr }, { signal })
        : undefined;
    const sources = { file, command, environment: this.env[variable], variable, prompt };
    return await readPassword(sources, { subject, isNew, signal });
  }
}

export interface NewPasswordSources {
  readonly file: string | undefined;
  readonly command: string | undefined;
}

interface PasswordQuestion {
  readonly variable: string;
  readonly subject: string;
  readonly isNew: boolean;
}
