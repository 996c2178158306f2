import { DrayError } from '../std/dray-error.ts';
import { errnoOf } from '../std/errno.ts';

/**
 * - `pool-missing`, `pool-foreign` (the folder holds something else), `pool-exists`, `pool-version` (of a newer dray),
 *   `pool-reflink` (the file system cannot share blocks), `pool-image` (the image of a pool or its mount),
 *   `pool-mkfs` (a program that makes file systems is missing or failed), `pool-damaged` (a record cannot be read),
 *   `pool-busy` (another process changes the pool, for too long, or restores to the same volume), `pool-io` with the
 *   system's error as `cause`;
 * - `pool-reserve`: too little room for what would need more; `pool-no-space`: none at all;
 * - `pool-name`, `pool-size`: a name or a size that cannot be;
 * - `pool-volume-missing`, `pool-volume-exists`, `pool-snapshot-missing`, `pool-snapshot-exists`; `pool-volume-deleted`: the
 *   one that was meant went meanwhile, whatever has its name now;
 * - `pool-foreign-file`: what would go, or be replaced, holds something that the pool did not make;
 * - `pool-in-use` (attached, mounted, or read by a backup), `pool-needed` (a later step needs the snapshot),
 *   `pool-has-snapshots`, `pool-shrink` (not told twice), `pool-freeze` (a file system could not be held still);
 * - `pool-leftover`: it is gone for everybody, durably, and only what is left of it in `staging` could not be removed;
 *   `pool-not-durable`: it is done for everybody who looks, and a loss of power may undo it.
 */
export class PoolError extends DrayError<
  | 'pool-missing'
  | 'pool-foreign'
  | 'pool-exists'
  | 'pool-version'
  | 'pool-reflink'
  | 'pool-image'
  | 'pool-mkfs'
  | 'pool-damaged'
  | 'pool-busy'
  | 'pool-io'
  | 'pool-reserve'
  | 'pool-no-space'
  | 'pool-name'
  | 'pool-size'
  | 'pool-volume-missing'
  | 'pool-volume-exists'
  | 'pool-volume-deleted'
  | 'pool-snapshot-missing'
  | 'pool-snapshot-exists'
  | 'pool-foreign-file'
  | 'pool-in-use'
  | 'pool-needed'
  | 'pool-has-snapshots'
  | 'pool-shrink'
  | 'pool-freeze'
  | 'pool-leftover'
  | 'pool-not-durable'
> {
  /** Of what stays (`pool-in-use`, `pool-needed`), why, in words that go on after "it is". */
  readonly reason: string | undefined;

  constructor(
    code: PoolError['code'],
    message: string,
    { reason, ...options }: { readonly cause?: unknown; readonly reason?: string } = {},
  ) {
    super(code, message, options);
    this.reason = reason;
  }
}

/** Something stays, whatever was to become of it. */
export function refusal(
  code: 'pool-in-use' | 'pool-needed',
  { what, reason }: { readonly what: string; readonly reason: string },
  options: { readonly cause?: unknown } = {},
): PoolError {
  return new PoolError(code, `${what} is ${reason}`, { ...options, reason });
}

/** Of a pool whose folder has only the mark of its image. */
export function closedText(root: string, image: string = 'an image'): string {
  return `the pool in ${root} lies in ${image}, which is not mounted`;
}

/** Runs `work`; what the system refuses becomes a PoolError that says what was attempted. */
export async function withPoolErrors<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw poolError(error, doing);
  }
}

export function poolError(error: unknown, doing: string): unknown {
  const errno = error instanceof PoolError ? undefined : errnoOf(error);
  if (errno === undefined) return error;
  const full = errno === 'ENOSPC' || errno === 'EDQUOT';
  return new PoolError(full ? 'pool-no-space' : 'pool-io', doing, { cause: error });
}

/** Whether the pool or the system has refused something. All else is an abort, or a defect. */
export function isRefused(error: unknown): boolean {
  return error instanceof PoolError || errnoOf(error) !== undefined;
}
