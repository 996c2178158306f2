import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { isErrno } from '../std/atomic-write.ts';
import { toError } from '../std/to-error.ts';
import { PoolError } from './pool-error.ts';

export const fileSystems = ['ext4', 'xfs'] as const;
export type FileSystemName = (typeof fileSystems)[number];

/** Makes a file system on a device or in a file, by the program that does it. @throws {PoolError} `pool-mkfs` */
export async function runMkfs(
  kind: FileSystemName,
  args: readonly string[],
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const program = `mkfs.${kind}`;
  try {
    await promisify(execFile)(program, ['-q', ...args], { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (isErrno(error, 'ENOENT')) throw new PoolError('pool-mkfs', `${program} is not installed`, { cause: error });
    // No cause: what `execFile` says repeats the command and all that it printed, which may be pages of usage.
    throw new PoolError('pool-mkfs', `${program} failed on ${args.at(-1)}: ${complaintOf(error)}`);
  }
}

/** The first line that the program printed. */
function complaintOf(error: unknown): string {
  const printed = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
  const [first = ''] = (printed || toError(error).message).split('\n');
  return first.trim();
}
