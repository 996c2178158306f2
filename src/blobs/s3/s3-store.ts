/**
 * Blobs as objects of an S3 bucket, in Kopia's layout (`repo/blob/s3`): the prefix and the name, nothing in between. Both
 * programs use the same bucket at the same time. Times are the server's, in whole seconds. It works with every server
 * that has ranged reads, listings after version 2 and read-after-write consistency, as S3 itself has since 2020.
 */
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../std/clock.ts';
import {
  BlobError,
  type BlobCall,
  type BlobGet,
  blobId,
  type BlobId,
  type BlobList,
  type BlobMetadata,
  type BlobPut,
  type BlobRetention,
  type BlobStore,
  type BlobUpload,
  type BlobUploadOptions,
} from '../blob-store.ts';
import { findAwsKeys } from './find-aws-keys.ts';
import { HttpExchange } from './http-exchange.ts';
import { listObjects, wholeSeconds } from './list-objects.ts';
import { S3Client, usesTls } from './s3-client.ts';
import { type FindKeys, S3Credentials } from './s3-credentials.ts';
import { objectBytes, type ObjectBytes, S3Objects, storageClassHeader } from './s3-objects.ts';
import { extendLock, lockFrom, lockHeaders, type ObjectLock } from './object-lock.ts';
import { environmentProxies, type ProxyVariables } from './proxy.ts';
import { describeS3Place, type S3Place } from './s3-place.ts';
import { S3Upload } from './s3-upload.ts';
import { StorageClasses } from './storage-classes.ts';
import { BlockPool } from './upload-blocks.ts';
import { type LockTrial, tryLock } from './try-lock.ts';

/** Asked for when nothing but the answer's own time matters: a repository's format, there or not. */
const anyBlob = blobId('kopia.repository');

export interface S3StoreOptions {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Where keys come from; AWS's usual places when absent. */
  readonly findKeys?: FindKeys | undefined;
  /** Where a proxy is named; the environment of the process when absent. */
  readonly proxies?: ProxyVariables | undefined;
}

export class S3Store implements BlobStore {
  readonly description: string;
  readonly listsInOrder = true;
  readonly #place: S3Place;
  readonly #exchange: HttpExchange;
  readonly #clock: Clock;
  readonly #client: S3Client;
  readonly #objects: S3Objects;
  readonly #classes: StorageClasses;
  readonly #blocks = new BlockPool();
  /** The latest time of a blob that was looked at. */
  #latestMs = 0;

  private constructor(place: S3Place, options: S3StoreOptions & { ca?: string }) {
    const { clock, proxies = environmentProxies(), ca } = options;
    const { findKeys = () => findAwsKeys({ clock, proxies }) } = options;
    this.description = describeS3Place(place);
    this.#place = place;
    this.#clock = clock;
    this.#exchange = new HttpExchange({ clock }, { tls: usesTls(place), ca, proxies });
    const credentials = new S3Credentials({ clock, find: findKeys });
    this.#client = new S3Client({ clock, exchange: this.#exchange, credentials }, place);
    this.#objects = new S3Objects(this.#client);
    this.#classes = new StorageClasses(this.#objects, place.prefix);
  }

  /** Asks the server nothing yet. @throws {BlobError} `blob-location` when the file of authorities cannot be read */
  static async open(place: S3Place, options: S3StoreOptions): Promise<S3Store> {
    options.signal.throwIfAborted();
    if (place.caFile === undefined) return new S3Store(place, options);
    try {
      return new S3Store(place, { ...options, ca: await readAuthorities(place.caFile) });
    } catch (error) {
      throw new BlobError('blob-location', `read the certificates in ${place.caFile}`, { cause: error });
    }
  }

  async get(id: BlobId, { range, maxBytes: bytesMax, into, signal }: BlobGet): Promise<Uint8Array> {
    const part = range === undefined ? '' : `${range.lengthBytes} bytes at ${range.offset} of `;
    return await this.#objects.get(this.#key(id), {
      range,
      bytesMax,
      into,
      doing: this.#doing(`get ${part}${id}`),
      signal,
    });
  }

  async put(id: BlobId, bytes: Uint8Array, { ifAbsent = false, retention, signal }: BlobPut): Promise<void> {
    signal.throwIfAborted();
    await this.#put(id, objectBytes(bytes), { ifAbsent, retention, signal });
  }

  /** Holds what is written until `commit`, at most 100 MiB; longer blobs travel in parts. */
  async upload(id: BlobId, { retention, signal }: BlobUploadOptions): Promise<BlobUpload> {
    const doing = this.#doing(`store ${id}`);
    signal.throwIfAborted();
    const storageClass = await this.#classes.classOf(id, { doing, signal });
    return new S3Upload(
      {
        client: this.#client,
        objects: this.#objects,
        blocks: this.#blocks,
        put: async (bytes) => await this.#put(id, bytes, { ifAbsent: false, retention, signal }),
      },
      {
        key: this.#key(id),
        doing,
        hashed: !usesTls(this.#place),
        objectHeaders: () => {
          const lock = this.#lock(retention, `store ${id}`);
          return { ...storageClassHeader(storageClass), ...(lock && lockHeaders(lock)) };
        },
        signal,
      },
    );
  }

  async stat(id: BlobId, { signal }: BlobCall): Promise<BlobMetadata> {
    const doing = this.#doing(`look at ${id}`);
    const { lengthBytes, timestampMs } = await this.#objects.head(this.#key(id), { doing, signal });
    this.#latestMs = Math.max(this.#latestMs, timestampMs);
    return { id, lengthBytes, timestampMs };
  }

  list(prefix: string, options: BlobList): AsyncIterable<BlobMetadata> {
    const from = { client: this.#client, prefix: this.#place.prefix, description: this.description };
    return listObjects(from, prefix, options);
  }

  async extendRetention(id: BlobId, retention: BlobRetention, { signal }: BlobCall): Promise<void> {
    const doing = this.#doing(`extend the retention of ${id}`);
    await extendLock(this.#client, this.#key(id), lockFrom(retention, { nowMs: this.#clock.nowMs(), doing }), {
      doing,
      signal,
    });
  }

  /** Whether the bucket can lock; the place must be empty, and is left so. */
  async tryLock({ signal }: BlobCall): Promise<LockTrial> {
    const doing = this.#doing('try a lock');
    return await tryLock({ client: this.#client, clock: this.#clock }, this.#key(anyBlob), { doing, signal });
  }

  async remove(id: BlobId, { signal }: BlobCall): Promise<void> {
    await this.#objects.remove(this.#key(id), { doing: this.#doing(`remove ${id}`), signal });
  }

  /** The `Date` of an answer. Servers may keep theirs for a second; a blob's time is never later than what comes after it. */
  async serverTimeMs({ signal }: BlobCall): Promise<number> {
    const doing = this.#doing('ask for the time');
    const request = { method: 'GET', query: { 'list-type': '2', 'max-keys': '1', prefix: this.#key(anyBlob) }, doing };
    const { headers } = await this.#client.send({ ...request, method: 'GET' }, { signal });
    const dateMs = wholeSeconds(headers['date']);
    if (dateMs === undefined) throw new BlobError('blob-unavailable', `${doing}: the answer has no date`);
    return Math.max(dateMs, this.#latestMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#exchange[Symbol.dispose]();
    await Promise.resolve();
  }

  async #put(id: BlobId, bytes: ObjectBytes, { ifAbsent = false, retention, signal }: BlobPut): Promise<void> {
    const doing = this.#doing(`store ${id}`);
    const storageClass = await this.#classes.classOf(id, { doing, signal });
    const lock = this.#lock(retention, `store ${id}`);
    await this.#objects.put(this.#key(id), bytes, { doing, ifAbsent, lock, storageClass, signal });
  }

  /** From the moment of the request on, which for a pack is long after its upload has begun. */
  #lock(retention: BlobRetention | undefined, what: string): ObjectLock | undefined {
    return retention && lockFrom(retention, { nowMs: this.#clock.nowMs(), doing: this.#doing(what) });
  }

  #key(id: BlobId): string {
    return `${this.#place.prefix}${id}`;
  }

  #doing(what: string): string {
    return `${what} in ${this.description}`;
  }
}

const caFileBytesMax = 1024 * 1024;

async function readAuthorities(path: string): Promise<string> {
  const pem = await readFile(path, 'latin1');
  if (pem.length > caFileBytesMax || !pem.includes('-----BEGIN CERTIFICATE-----')) {
    throw new Error('it holds no certificate in PEM');
  }
  return pem;
}
