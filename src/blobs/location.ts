/** Where a store is and through which layers it is reached, as data that every thread can open for itself. */
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BlobError } from './blob-store.ts';
import type { CountOptions } from './count.ts';
import type { FaultOptions } from './fault.ts';
import type { HedgeOptions } from './hedge.ts';
import type { LockOptions } from './lock.ts';
import type { RateOptions } from './rate.ts';
import type { RetryOptions } from './retry.ts';
import { describeS3Place, parseS3Url, type S3Place, type S3UrlOptions } from './s3/s3-place.ts';

/** The layers around a store. */
interface StoreLayers {
  readonly retry?: RetryOptions | undefined;
  readonly rate?: RateOptions | undefined;
  readonly count?: CountOptions | undefined;
  /** Between counts and rate; for stores that are far away. */
  readonly hedge?: HedgeOptions | undefined;
  /** Above all others. */
  readonly lock?: LockOptions | undefined;
  /** For tests: below all other layers. */
  readonly fault?: FaultOptions | undefined;
}

export interface DirectoryPlace {
  readonly kind: 'directory';
  /** Absolute. */
  readonly path: string;
}

export type DirectoryLocation = DirectoryPlace & StoreLayers;

/** Structured-clonable; holds no secret. Who opens it finds credentials for itself. */
export type BlobStoreLocation = (DirectoryPlace | S3Place) & StoreLayers;

/**
 * A repository as users write it: a path, `file:///…`, or `s3://bucket/prefix?…` (`s3/s3-place.ts`). The message never
 * repeats the text: a URL may hold a password.
 * @throws {BlobError} `blob-location`
 */
export function parseRepositoryUrl(text: string, options: S3UrlOptions): DirectoryPlace | S3Place {
  if (text === '' || text.includes('\0')) throw new BlobError('blob-location', 'the repository has no name');
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return { kind: 'directory', path: resolve(text) };
  if (scheme === 'file') return { kind: 'directory', path: pathOfUrl(text) };
  if (scheme === 's3') return parseS3Url(text, options);
  if (text.slice(scheme.length + 1).startsWith('//')) {
    throw new BlobError('blob-location', `cannot open ${scheme}:// repositories; use a path, file:///… or s3://…`);
  }
  return { kind: 'directory', path: resolve(text) };
}

/** A place of its own inside another, for a store that is made to be removed again. */
export function placeWithin(place: DirectoryPlace | S3Place, name: string): DirectoryPlace | S3Place {
  if (place.kind === 's3') return { ...place, prefix: `${place.prefix}${name}/` };
  return { ...place, path: join(place.path, name) };
}

/** For messages: never a secret. */
export function describeLocation(location: DirectoryPlace | S3Place): string {
  return location.kind === 's3' ? describeS3Place(location) : location.path;
}

function pathOfUrl(text: string): string {
  try {
    // A slash at the end would be no part of the names below it.
    if (/^file:\/\//i.test(text)) return resolve(fileURLToPath(text));
  } catch (error) {
    throw new BlobError('blob-location', 'a file URL is file:/// and an absolute path on this machine', {
      cause: error,
    });
  }
  throw new BlobError('blob-location', 'a file URL is file:/// and an absolute path on this machine');
}
