/**
 * Blobs as files below one directory, in the layout of Kopia's file system storage (repo/blob/filesystem and sharded):
 * both programs use the same directory at the same time. Stricter than Kopia in one thing: a new name is durable (the
 * directory is synced) before a put resolves. The timestamp of a blob is its file's mtime.
 */
import { open, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { directAlignmentBytes, isDirectAligned } from '../../kernel/aligned-memory.ts';
import { atomicWrite, isErrno, makeDirectories, temporaryName } from '../../std/atomic-write.ts';
import type { Clock } from '../../std/clock.ts';
import type { Rng } from '../../std/rng.ts';
import {
  BlobError,
  type BlobCall,
  type BlobGet,
  type BlobId,
  type BlobMetadata,
  type BlobPut,
  type BlobRetention,
  type BlobStore,
  type BlobUpload,
  type BlobUploadOptions,
} from '../blob-store.ts';
import { BlobDirectories } from './blob-directories.ts';
import { blobError, withBlobErrors } from './directory-errors.ts';
import { DirectoryUpload } from './directory-upload.ts';
import { listBlobs } from './list-blobs.ts';
import { openToRead, ReadHandles, type OpenBlob } from './read-handles.ts';
import { decodeShards, defaultShards, encodeShards, shardedPath, shardsFile, type Shards } from './shards.ts';

/** Packs kept open for reading. */
const openPacksMax = 16;
/** Blobs larger than this are read by ranges; Kopia's largest blobs are packs and stay below 120 MiB. */
const wholeBlobBytesMax = 1024 ** 3;
const shardsFileBytesMax = 64 * 1024;

export interface DirectoryStoreOptions {
  /** Make the directory and its `.shards` where they are missing. */
  readonly create?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly rng: Rng;
}

export class DirectoryStore implements BlobStore {
  readonly description: string;
  readonly #root: string;
  readonly #shards: Shards;
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #directories: BlobDirectories;
  readonly #packs = new ReadHandles({ filesMax: openPacksMax });

  private constructor(root: string, shards: Shards, { clock, rng }: DirectoryStoreOptions) {
    this.description = root;
    this.#root = root;
    this.#shards = shards;
    this.#clock = clock;
    this.#rng = rng;
    this.#directories = new BlobDirectories(root);
  }

  /** @throws {BlobError} `blob-not-found` when the directory is missing, `blob-layout`, `blob-denied`, … */
  static async open(root: string, options: DirectoryStoreOptions): Promise<DirectoryStore> {
    options.signal.throwIfAborted();
    return await withBlobErrors(`open the directory ${root}`, async () => {
      if (options.create === true) await makeDirectories(root, { mode: 0o700 });
      if (!(await stat(root)).isDirectory()) throw new BlobError('blob-not-found', `${root} is not a directory`);
      return new DirectoryStore(root, await loadShards(root, options), options);
    });
  }

  async get(id: BlobId, { signal, ...wanted }: BlobGet): Promise<Uint8Array> {
    signal.throwIfAborted();
    const path = this.#path(id);
    return await withBlobErrors(`get ${id}`, async () => {
      const read = (blob: OpenBlob): Promise<Uint8Array> => readBlob(id, blob, wanted);
      if (isImmutable(id)) return await this.#packs.use(path, read);
      const blob = await openToRead(path);
      await using _file = blob.file;
      return await read(blob);
    });
  }

  async put(id: BlobId, bytes: Uint8Array, { ifAbsent = false, retention, signal }: BlobPut): Promise<void> {
    this.#refuseLock(id, retention);
    await using upload = await this.#upload(id, { signal, direct: false });
    await upload.write(bytes);
    await upload.finish({ ifAbsent });
  }

  async upload(id: BlobId, { retention, signal }: BlobUploadOptions): Promise<BlobUpload> {
    this.#refuseLock(id, retention);
    return await this.#upload(id, { signal, direct: true });
  }

  async stat(id: BlobId, { signal }: BlobCall): Promise<BlobMetadata> {
    signal.throwIfAborted();
    const path = this.#path(id);
    return await withBlobErrors(`look at ${id}`, async () => {
      const stats = await stat(path, { bigint: true });
      if (!stats.isFile()) throw new BlobError('blob-not-found', `${path} is not a regular file`);
      return { id, lengthBytes: Number(stats.size), timestampMs: Number(stats.mtimeNs / 1_000_000n) };
    });
  }

  async *list(prefix: string, { signal }: BlobCall): AsyncGenerator<BlobMetadata, void, undefined> {
    signal.throwIfAborted();
    try {
      yield* listBlobs({ root: this.#root, shards: this.#shards, prefix, signal });
    } catch (error) {
      throw blobError(error, `list ${prefix}* in ${this.#root}`);
    }
  }

  async extendRetention(id: BlobId, retention: BlobRetention, { signal }: BlobCall): Promise<void> {
    signal.throwIfAborted();
    this.#refuseLock(id, retention);
    await Promise.resolve();
  }

  async remove(id: BlobId, { signal }: BlobCall): Promise<void> {
    signal.throwIfAborted();
    const path = this.#path(id);
    await withBlobErrors(`remove ${id}`, async () => {
      await this.#packs.forget(path);
      try {
        await unlink(path);
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return;
        throw error;
      }
      await this.#directories.sync(path);
    });
  }

  /** The clock that makes the files' times: on a network file system, the server's. */
  async serverTimeMs({ signal }: BlobCall): Promise<number> {
    signal.throwIfAborted();
    const path = temporaryName(join(this.#root, '.time'), this.#rng);
    try {
      const file = await open(path, 'wx', 0o600);
      try {
        return Number((await file.stat({ bigint: true })).mtimeNs / 1_000_000n);
      } finally {
        await file.close();
        await unlink(path);
      }
    } catch (error) {
      const failure = blobError(error, `ask ${this.#root} for its time`);
      // Who may only read can do no harm with a wrong time; the local clock is then the best there is.
      if (failure instanceof BlobError && ['blob-denied', 'blob-read-only', 'blob-no-space'].includes(failure.code)) {
        return this.#clock.nowMs();
      }
      throw failure;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#packs[Symbol.asyncDispose]();
  }

  /** As Kopia's: a folder that were written to without the locks that its owner relies on would look like one with them. */
  #refuseLock(id: BlobId, retention: BlobRetention | undefined): void {
    if (retention === undefined) return;
    throw new BlobError('blob-no-lock', `lock ${id} for a time: ${this.description} is a folder, which cannot`);
  }

  async #upload(id: BlobId, { signal, direct }: BlobCall & { direct: boolean }): Promise<DirectoryUpload> {
    signal.throwIfAborted();
    const path = this.#path(id);
    const onVisible = (): Promise<void> => this.#packs.forget(path);
    const parts = { id, path, directories: this.#directories, rng: this.#rng, signal, onVisible };
    return await DirectoryUpload.open(parts, { direct });
  }

  #path(id: BlobId): string {
    const { directories, file } = shardedPath(this.#shards, id);
    return join(this.#root, ...directories, file);
  }
}

/** Packs: the random name is never used twice. */
function isImmutable(id: BlobId): boolean {
  return id.startsWith('p') || id.startsWith('q');
}

async function readBlob(
  id: BlobId,
  { file, sizeBytes }: OpenBlob,
  { range, maxBytes = wholeBlobBytesMax, into }: Omit<BlobGet, 'signal'>,
): Promise<Uint8Array> {
  const { offset, lengthBytes } = range ?? { offset: 0, lengthBytes: sizeBytes };
  const end = offset + lengthBytes;
  if (!Number.isSafeInteger(end) || offset < 0 || lengthBytes < 0 || end > sizeBytes) {
    throw new BlobError('blob-range', `${id} has ${sizeBytes} bytes, not ${offset}+${lengthBytes}`);
  }
  if (into === undefined && lengthBytes > (range === undefined ? maxBytes : wholeBlobBytesMax)) {
    throw new BlobError('blob-range', `${lengthBytes} bytes of ${id} are too many for one read`);
  }
  if (into !== undefined && into.length < lengthBytes) {
    throw new BlobError('blob-range', `${lengthBytes} bytes of ${id} do not fit into ${into.length}`);
  }
  // Past the page cache only whole blocks can be read: those around the range, when `into` has room for them.
  const start = file.direct ? offset - (offset % directAlignmentBytes) : offset;
  const blocks = Math.ceil((end - start) / directAlignmentBytes) * directAlignmentBytes;
  const around = into !== undefined && file.direct && blocks <= into.length && isDirectAligned(into);
  const first = around ? start : offset;
  const wanted = around ? blocks : lengthBytes;
  // Every byte is filled or the call fails, so nothing uninitialised gets out.
  const bytes = into === undefined ? Buffer.allocUnsafeSlow(lengthBytes) : into.subarray(0, wanted);
  const count = await file.read(bytes, first);
  if (first + count < end) throw new BlobError('blob-range', `${id} became shorter while it was read`);
  return bytes.subarray(offset - first, end - first);
}

async function loadShards(root: string, { create = false, rng, signal }: DirectoryStoreOptions): Promise<Shards> {
  const path = join(root, shardsFile);
  let found: OpenBlob;
  try {
    found = await openToRead(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
    // A store that already holds a repository keeps the layout that its other users assume.
    const isStore = await stat(join(root, 'kopia.repository.f')).then(
      () => true,
      () => false,
    );
    const shards = defaultShards({ create: create && !isStore });
    if (create && !isStore) await atomicWrite(path, Buffer.from(encodeShards(shards)), { rng, signal });
    return shards;
  }
  await using file = found.file;
  if (found.sizeBytes > shardsFileBytesMax) throw new BlobError('blob-layout', `${path} is too large`);
  const bytes = Buffer.alloc(found.sizeBytes);
  await file.read(bytes, 0);
  return decodeShards(bytes.toString('utf8'));
}
