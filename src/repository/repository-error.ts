import { DrayError } from '../std/dray-error.ts';

/**
 * - `repository-missing` (nothing there), `repository-foreign` (something, but no repository), `repository-exists`,
 *   `repository-password` (wrong password), `repository-version` (newer or unknown format),
 *   `repository-locked` (an upgrade is under way), `unsupported` (a known setting this program does not handle; the message names it).
 * - `corrupt`: bytes that fail authentication, a checksum, a hash or a rule of the format. Never retried.
 * - `content-missing`: no live index entry for a content id. `snapshot-missing`, `snapshot-ambiguous`.
 * - `snapshot-kind`: a snapshot of files and folders where one of a volume is wanted, or a folder where a file is.
 * - `path-missing`: a snapshot has nothing of this path.
 * - `index-conflict`: an index could not be written safely (its epoch moved, or its packs were collected meanwhile); the
 *   flush failed, what was there before is intact.
 * - `index-cache`: the local directory for decrypted indexes cannot be read or written; the repository is not touched.
 */
export class RepositoryError extends DrayError<
  | 'repository-missing'
  | 'repository-foreign'
  | 'repository-exists'
  | 'repository-password'
  | 'repository-version'
  | 'repository-locked'
  | 'unsupported'
  | 'corrupt'
  | 'content-missing'
  | 'snapshot-missing'
  | 'snapshot-ambiguous'
  | 'snapshot-kind'
  | 'path-missing'
  | 'index-conflict'
  | 'index-cache'
> {}
