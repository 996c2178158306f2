/** What happens to one file of many, and what happens to all: a damaged file stops nobody else, a full disk everybody. */
import { rootCause } from '../std/causes.ts';
import { errnoOf, nameErrno } from '../std/errno.ts';
import { isDamage } from './damage.ts';

/** Errors of a system call behind which nothing else would succeed either. */
const ending = new Set([
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'EBADF',
  'ESTALE',
  'EUCLEAN',
  'EBADMSG',
]);

export function endsRestore(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === undefined || ending.has(errno);
}

/** What a restore of files leaves out, and why. */
export interface Omission {
  /** In the snapshot, from its root. */
  readonly path: string;
  /** `damaged`: the repository's fault. `refused`: no such thing can be made here. `kind`: nothing that is restored. */
  readonly cause: 'damaged' | 'refused' | 'kind';
  readonly reason: string;
}

/** The outermost messages say where, the innermost what was found. */
export function omission(path: string, error: Error): Omission {
  const cause = isDamage(error) ? 'damaged' : 'refused';
  return { path, cause, reason: nameErrno(rootCause(error).message) };
}
