/**
 * A flat set of named immutable byte arrays: what a repository needs of a directory or a bucket, and no more.
 * The contract (`contract/`) is Kopia's `repo/blob/storage.go`: puts are atomic, a blob that was put is
 * durable before the promise resolves, reads and listings see what was put before they began, and deleting what is
 * not there succeeds. Retry, rate limit and fault injection are layers with this same interface.
 */
import { DrayError } from '../std/dray-error.ts';

declare const brand: unique symbol;

/** Name of a blob: 1 to 512 printable ASCII characters without `/`. */
export type BlobId = string & { readonly [brand]: 'BlobId' };

const blobIdPattern = /^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,511}$/;

/** @throws {BlobError} `blob-name` when the text cannot name a blob on every provider. */
export function blobId(text: string): BlobId {
  if (!isBlobName(text)) throw new BlobError('blob-name', `not a blob name: ${JSON.stringify(text)}`);
  return text as BlobId;
}

/** Whether `blobId` takes it. */
export function isBlobName(text: string): boolean {
  return blobIdPattern.test(text);
}

/**
 * - `blob-not-found`, `blob-exists` (conditional put), `blob-range` (the blob is shorter than the range asked for),
 *   `blob-denied`, `blob-read-only`, `blob-no-space`, `blob-name`: permanent. So are `blob-location` (not a place that
 *   this version can open), `blob-layout` (the store's own parameters are damaged), `blob-store-missing` (not a blob but
 *   all of the store, such as its bucket, is not there), `blob-credentials` (none, or not accepted), `blob-clock` (so wrong
 *   that the server refuses requests), `blob-tls` (the server's certificate is not trusted), `blob-proxy` (a proxy refuses, or is wrongly named), `blob-locked` (a retention that
 *   has not passed forbids it) and `blob-no-lock` (the store cannot lock blobs, or not in this way).
 * - `blob-unavailable`: anything that may pass. The retry layer repeats only this one.
 */
export class BlobError extends DrayError<
  | 'blob-not-found'
  | 'blob-exists'
  | 'blob-range'
  | 'blob-denied'
  | 'blob-read-only'
  | 'blob-no-space'
  | 'blob-name'
  | 'blob-location'
  | 'blob-layout'
  | 'blob-store-missing'
  | 'blob-credentials'
  | 'blob-clock'
  | 'blob-tls'
  | 'blob-proxy'
  | 'blob-locked'
  | 'blob-no-lock'
  | 'blob-unavailable'
> {}

export interface BlobMetadata {
  readonly id: BlobId;
  readonly lengthBytes: number;
  /** The store's own "last modified", milliseconds since the Unix epoch; the only clock that garbage rules trust. */
  readonly timestampMs: number;
}

export interface BlobCall {
  readonly signal: AbortSignal;
}

export interface BlobGet extends BlobCall {
  /** Absent: the whole blob. Present: exactly these bytes, or `blob-range`. */
  readonly range?: { readonly offset: number; readonly lengthBytes: number } | undefined;
  /** Of a whole blob: a longer one is refused with `blob-range`, before it is read. */
  readonly maxBytes?: number | undefined;
  /**
   * Where to put the bytes, instead of a fresh buffer. It belongs to the call until the promise settles, **also after
   * an abort**. Must hold at least the range; with 8 KiB more, and page-aligned, it can be read past the page cache.
   * The bytes may begin anywhere in it. Only with `range`.
   */
  readonly into?: Uint8Array | undefined;
  /** From the store itself, not from what a cache has kept: what came before was damaged. */
  readonly fresh?: boolean | undefined;
}

/** A time in which nobody may remove or overwrite what a blob holds: S3's object lock. */
export interface BlobRetention {
  /** The provider's word; on S3 `GOVERNANCE` or `COMPLIANCE`. */
  readonly mode: string;
  /** From the moment in which the store is asked, milliseconds. */
  readonly periodMs: number;
}

export interface BlobUploadOptions extends BlobCall {
  /** Lock what is stored. A store that cannot refuses with `blob-no-lock` instead of storing it unlocked. */
  readonly retention?: BlobRetention | undefined;
}

export interface BlobPut extends BlobUploadOptions {
  /** Fail with `blob-exists` instead of replacing. */
  readonly ifAbsent?: boolean | undefined;
}

export interface BlobList extends BlobCall {
  /** Only names that sort after this one, by their bytes. Only where the store lists in order. */
  readonly after?: BlobId | undefined;
}

export interface BlobStore extends AsyncDisposable {
  /** Where this is, for messages; never contains a secret. */
  readonly description: string;
  /** Whether listings come sorted by name and can begin `after` one, so that a long one that broke off can go on. */
  readonly listsInOrder?: boolean | undefined;

  /**
   * The bytes of a blob, or of a part of it: a fresh buffer, or a view of `into`.
   * @throws {BlobError} `blob-not-found`, `blob-range`, …
   */
  get(id: BlobId, options: BlobGet): Promise<Uint8Array>;

  /** Stores a blob at once: atomic, durable when resolved. `bytes` belongs to the call until the promise settles. */
  put(id: BlobId, bytes: Uint8Array, options: BlobPut): Promise<void>;

  /** Stores a blob piece by piece. Nothing is visible before `commit`. */
  upload(id: BlobId, options: BlobUploadOptions): Promise<BlobUpload>;

  /** @throws {BlobError} `blob-not-found` */
  stat(id: BlobId, options: BlobCall): Promise<BlobMetadata>;

  /** All blobs whose name starts with `prefix`, in no order unless `listsInOrder`, each at most once. */
  list(prefix: string, options: BlobList): AsyncIterable<BlobMetadata>;

  /**
   * Has a blob stay locked for the whole period from now on; a lock that lasts longer is left as it is.
   * @throws {BlobError} `blob-not-found`, `blob-no-lock`, …
   */
  extendRetention(id: BlobId, retention: BlobRetention, options: BlobCall): Promise<void>;

  /**
   * Deletes; a blob that is not there counts as deleted. Durable when resolved. Where old versions are kept, as in every
   * bucket with object lock, the blob is hidden and its space not given back.
   * @throws {BlobError} `blob-locked` where a lock forbids even that, …
   */
  remove(id: BlobId, options: BlobCall): Promise<void>;

  /** The store's present time, milliseconds since the Unix epoch. */
  serverTimeMs(options: BlobCall): Promise<number>;
}

/**
 * One blob on its way. Calls do not overlap. Disposing without `commit` leaves nothing behind; after it, it does nothing.
 * A `write` that failed with `blob-unavailable` has appended nothing and may be repeated with the same bytes.
 */
export interface BlobUpload extends AsyncDisposable {
  /**
   * Appends. `piece` belongs to the upload until the promise settles. Pieces that begin on a 4,096-byte memory address
   * and whose length is a multiple of 4,096 travel without a copy where the provider can.
   */
  write(piece: Uint8Array): Promise<void>;
  /** Makes the blob visible and durable. May be repeated: once it has succeeded it does nothing. */
  commit(): Promise<void>;
}
