import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { isErrno } from '../std/atomic-write.ts';
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
    const isMissing = isErrno(error, 'ENOENT');
    const why = isMissing ? `${program} is not installed` : `${program} failed on ${args.at(-1)}`;
    throw new PoolError('pool-mkfs', why, { cause: error });
  }
}
