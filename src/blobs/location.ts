/** Where a store is and through which layers it is reached, as data that every thread can open for itself. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BlobError } from './blob-store.ts';
import type { FaultOptions } from './fault.ts';
import type { RateOptions } from './rate.ts';
import type { RetryOptions } from './retry.ts';

/** Structured-clonable; holds no secret. */
export interface BlobStoreLocation {
  readonly kind: 'directory';
  /** Absolute. */
  readonly path: string;
  readonly retry?: RetryOptions | undefined;
  readonly rate?: RateOptions | undefined;
  /** For tests: below all other layers. */
  readonly fault?: FaultOptions | undefined;
}

/**
 * A repository as users write it: a path, `file:///…`, or `s3://…`, which this version cannot open. The message never
 * repeats the text: a URL may hold a password.
 * @throws {BlobError} `blob-location`
 */
export function parseRepositoryUrl(text: string): BlobStoreLocation {
  if (text === '' || text.includes('\0')) throw new BlobError('blob-location', 'the repository has no name');
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return { kind: 'directory', path: resolve(text) };
  if (scheme === 'file') return { kind: 'directory', path: pathOfUrl(text) };
  if (scheme === 's3') {
    throw new BlobError('blob-location', 's3:// repositories are unsupported in this version; use a directory');
  }
  if (text.slice(scheme.length + 1).startsWith('//')) {
    throw new BlobError('blob-location', `cannot open ${scheme}:// repositories; use a path or file:///…`);
  }
  return { kind: 'directory', path: resolve(text) };
}

function pathOfUrl(text: string): string {
  try {
    if (/^file:\/\//i.test(text)) return fileURLToPath(text);
  } catch (error) {
    throw new BlobError('blob-location', 'a file URL is file:/// and an absolute path on this machine', {
      cause: error,
    });
  }
  throw new BlobError('blob-location', 'a file URL is file:/// and an absolute path on this machine');
}
