/**
 * Where a password comes from: an option that names a file or a command, the environment, or a question on the terminal; never
 * an argument, which every user of the machine can read. What was asked for explicitly wins over the environment.
 */
import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { CliError } from './cli-error.ts';

export interface PasswordSources {
  readonly file: string | undefined;
  readonly command: string | undefined;
  /** The value of `variable` in the environment. */
  readonly environment: string | undefined;
  /** The name of the environment variable, for messages. */
  readonly variable: string;
  /** Asks on a terminal without echo; absent where there is none. */
  readonly prompt: ((question: string) => Promise<string>) | undefined;
}

export interface PasswordRequest {
  /** What it is for, as in `password of /backups`. */
  readonly subject: string;
  /**
   * Ask twice when asking: a new password with a slip in it would lock everybody out. And refuse what kopia could not
   * be told: it cuts white space off at both ends (`cli/password.go`). Opening takes whatever opens.
   */
  readonly isNew: boolean;
  readonly signal: AbortSignal;
}

/** A password file or a command's answer longer than this is a mistake. */
const passwordBytesMax = 64 * 1024;

/** @throws {CliError} `usage` (file and command both named), `password-missing`, `password-source`, `password-spaces` */
export async function readPassword(sources: PasswordSources, request: PasswordRequest): Promise<string> {
  const password = await firstSource(sources, request);
  if (password === '') throw new CliError('password-missing', `the ${request.subject} is empty`);
  if (request.isNew && /^\p{White_Space}|\p{White_Space}$/u.test(password)) {
    const reason = 'begins or ends with white space, which kopia cuts off what it is told';
    throw new CliError('password-spaces', `the ${request.subject} ${reason}`);
  }
  return password;
}

async function firstSource(sources: PasswordSources, request: PasswordRequest): Promise<string> {
  const { file, command, environment, variable, prompt } = sources;
  if (file !== undefined && command !== undefined) {
    throw new CliError('usage', `the ${request.subject} cannot come from a file and from a command at once`);
  }
  if (file !== undefined) return withoutNewline(await readPasswordFile(file));
  if (command !== undefined) return withoutNewline(await runPasswordCommand(command, request.signal));
  if (environment !== undefined) return environment;
  if (prompt !== undefined) return await ask(prompt, request);
  throw new CliError(
    'password-missing',
    `no ${request.subject}: ${variable} is not set and there is no terminal to ask on`,
  );
}

async function ask(
  prompt: (question: string) => Promise<string>,
  { subject, isNew }: PasswordRequest,
): Promise<string> {
  const question = subject.charAt(0).toUpperCase() + subject.slice(1);
  const password = await prompt(`${question}: `);
  if (isNew && password !== '' && (await prompt('The same again: ')) !== password) {
    throw new CliError('password-missing', 'the two passwords typed are not the same');
  }
  return password;
}

async function readPasswordFile(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { bytesRead, buffer } = await file.read(Buffer.alloc(passwordBytesMax + 1), 0, passwordBytesMax + 1);
    return decode(buffer.subarray(0, bytesRead));
  } catch (cause) {
    throw new CliError('password-source', `read the password file ${path}`, { cause });
  }
}

/** The command shows its own messages on our stderr; only its stdout is taken. */
async function runPasswordCommand(command: string, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'], signal });
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  child.stdout.on('data', (piece: Buffer) => {
    sizeBytes += piece.length;
    pieces.push(piece);
    if (sizeBytes > passwordBytesMax) resolve();
  });
  child.once('error', (cause) => reject(new CliError('password-source', 'run --password-command', { cause })));
  child.once('close', (status, signalName) => {
    if (status === 0) resolve();
    else reject(new CliError('password-source', `--password-command ended with ${signalName ?? `status ${status}`}`));
  });
  try {
    await promise;
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    // What the shell started may outlive it; without its pipe it ends when it next writes.
    child.stdout.destroy();
    child.kill();
  }
  return decode(Buffer.concat(pieces));
}

function decode(bytes: Uint8Array): string {
  if (bytes.length > passwordBytesMax)
    throw new CliError('password-source', `a password is at most ${passwordBytesMax} bytes`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CliError('password-source', 'the password is not UTF-8'); // Without the cause: it may quote the bytes.
  }
}

/** Without the one newline that editors and `echo` add. Any other space belongs to the password. */
function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, '');
}
