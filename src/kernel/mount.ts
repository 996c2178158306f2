/**
 * Mounting by the programs of util-linux, which know what the system call does not: helpers of file systems, options
 * that are words. No shell is involved. An abort ends the program; whether it had mounted by then, /proc/self/mountinfo tells.
 */
import { execFile } from 'node:child_process';
import { DrayError } from '../std/dray-error.ts';
import { toError } from '../std/to-error.ts';

/** `mount-busy`: somebody uses it. `mount-failed`: all else, with what the program printed. */
export class MountError extends DrayError<'mount-failed' | 'mount-busy'> {}

export interface MountOptions {
  /** As `mount -t`: `xfs`, `btrfs`. */
  readonly type: string;
  /** As `mount -o`: `nouuid`, `ro`. */
  readonly options: readonly string[];
  readonly signal: AbortSignal;
}

/** Mounts what is on `device`, or binds a folder (`options: ['bind']`), on a folder that exists. @throws {MountError} */
export async function mountFileSystem(
  device: string,
  mountPoint: string,
  { type, options, signal }: MountOptions,
): Promise<void> {
  const flags = options.length === 0 ? [] : ['-o', options.join(',')];
  await run(['mount', '-t', type, ...flags, '--', device, mountPoint], signal);
}

/**
 * Takes off what was mounted there last. It is all written out by then. Nothing ends this early: half an unmount would be
 * of no use, and it is called to clean up after aborts too. @throws {MountError}
 */
export async function unmountFileSystem(mountPoint: string): Promise<void> {
  await run(['umount', '--', mountPoint], undefined);
}

function run(command: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    // `env` sets the language, so that what is printed can be told apart; all else it leaves.
    execFile('env', ['LC_ALL=C', ...command], signal === undefined ? {} : { signal }, (error, _, stderr) => {
      if (error === null) {
        resolve();
      } else if (signal?.aborted === true) {
        reject(toError(signal.reason));
      } else {
        const code = /\bbusy\b/.test(stderr) ? 'mount-busy' : 'mount-failed';
        // What `execFile` says repeats the command and what it printed.
        reject(new MountError(code, `${command.join(' ')}: ${stderr.trim() || error.message}`));
      }
    });
  });
}
