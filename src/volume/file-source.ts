/**
 * Reading an image file or a block device. Both are one thing here: an open file of a known size. `readCached` takes
 * what the page cache holds; aligned reads of all else go past it, so that a backup does not push out what the
 * applications have cached. The unaligned tail is read through the cache, and so is everything where the file system
 * does not tell what is cached: past the cache, cached data would then be read from the disk.
 */
import { constants } from 'node:fs';
import { stat } from 'node:fs/promises';
import { deviceSizeBytes } from '../kernel/block-device.ts';
import { DirectFile } from '../kernel/direct-file.ts';
import { DataMap } from '../kernel/holes.ts';
import { usesOf } from '../kernel/device-uses.ts';
import { VolumeError, type BlockSource, type FileLocation, type SourceIdentity } from './block-source.ts';
import { extent, type Extent } from './extent.ts';
import { checkRange, withVolumeErrors } from './volume-errors.ts';

export interface OpenSourceOptions {
  readonly signal: AbortSignal;
  /** Read past the page cache what it does not hold. True by default. */
  readonly pastCache?: boolean | undefined;
}

export interface OpenFileSource extends BlockSource {
  readonly location: FileLocation;
}

/**
 * Opens a regular file or block device for reading. Its size is fixed from here on.
 * @throws {VolumeError} `volume-not-found`, `volume-denied`, `volume-kind`, `volume-io`
 */
export async function openSource(
  path: string,
  { signal, pastCache = true }: OpenSourceOptions,
): Promise<OpenFileSource> {
  signal.throwIfAborted();
  return await withVolumeErrors(
    () => `open ${path} for reading`,
    async () => {
      const kind = await kindOf(path);
      await using opening = new AsyncDisposableStack();
      const file = opening.use(await DirectFile.open(path, { flags: constants.O_RDONLY, direct: pastCache }));
      const sizeBytes = kind === 'device' ? deviceSizeBytes(file.fd) : Number((await file.stat()).size);
      const location = { path, kind, sizeBytes, pastCache: file.direct && file.tellsCached() } as const;
      if (location.pastCache !== file.direct) return await reopenSource(location, { signal });
      opening.move();
      return new FileSource(file, location);
    },
  );
}

/**
 * Opens the same source again, in this or another thread.
 * @throws {VolumeError} as `openSource`; `volume-changed` when it has become shorter
 */
export async function reopenSource(
  location: FileLocation,
  { signal }: { readonly signal: AbortSignal },
): Promise<OpenFileSource> {
  signal.throwIfAborted();
  const { path, sizeBytes, pastCache } = location;
  return await withVolumeErrors(
    () => `open ${path} for reading`,
    async () => {
      if ((await kindOf(path)) !== location.kind) throw new VolumeError('volume-changed', `${path} was replaced`);
      await using opening = new AsyncDisposableStack();
      const file = opening.use(await DirectFile.open(path, { flags: constants.O_RDONLY, direct: pastCache }));
      const now = location.kind === 'device' ? deviceSizeBytes(file.fd) : Number((await file.stat()).size);
      if (now < sizeBytes) throw new VolumeError('volume-changed', `${path} shrank from ${sizeBytes} to ${now} bytes`);
      opening.move();
      return new FileSource(file, location);
    },
  );
}

/**
 * Why reading it now would mix points in time: it, or something built on it, is mounted read-write, in whatever namespace, or is swap, or
 * somebody holds it who is not to be seen from here, such as a restore that writes to it.
 */
export async function sourceInUse(
  path: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly reason: string } | undefined> {
  const uses = await usesOf(path, { signal });
  return uses.find(({ kind, writable }) => writable || kind === 'claimed');
}

/** @throws {VolumeError} `volume-kind`; a system error when it is not there. A named pipe would block an open for ever. */
export async function kindOf(path: string): Promise<'file' | 'device'> {
  const stats = await stat(path);
  if (stats.isFile()) return 'file';
  if (stats.isBlockDevice()) return 'device';
  throw new VolumeError('volume-kind', `${path} is neither a regular file nor a block device`);
}

class FileSource implements OpenFileSource {
  readonly location: FileLocation;
  readonly sizeBytes: number;
  readonly #file: DirectFile;
  readonly #data: DataMap;

  constructor(file: DirectFile, location: FileLocation) {
    this.#file = file;
    this.#data = new DataMap(file.fd);
    this.location = location;
    this.sizeBytes = location.sizeBytes;
  }

  async read(range: Extent, into: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    const { path, sizeBytes } = this.location;
    checkRange(range, { sizeBytes, path, bufferBytes: into.length });
    const where = `${range.offset}+${range.lengthBytes} of ${path}`;
    const bytes = into.subarray(0, range.lengthBytes);
    const count = await withVolumeErrors(
      () => `read ${where}`,
      () => this.#file.read(bytes, range.offset),
    );
    if (count < range.lengthBytes) {
      throw new VolumeError('volume-changed', `read ${where}: the source became shorter while it was read`);
    }
  }

  readCached(range: Extent, into: Uint8Array): boolean {
    const { path, sizeBytes } = this.location;
    checkRange(range, { sizeBytes, path, bufferBytes: into.length });
    return this.#file.readCached(into.subarray(0, range.lengthBytes), range.offset);
  }

  async *dataExtents(within: Extent, { signal }: { readonly signal: AbortSignal }): AsyncGenerator<Extent> {
    checkRange(within, this.location);
    if (within.lengthBytes === 0) return;
    if (this.location.kind === 'device') {
      yield within;
      return;
    }
    using _held = this.#file.hold();
    for await (const { offset, lengthBytes } of this.#data.ranges(within, { signal })) {
      yield extent(offset, lengthBytes);
    }
  }

  async identity({ signal }: { readonly signal: AbortSignal }): Promise<SourceIdentity> {
    signal.throwIfAborted();
    const { path, kind } = this.location;
    if (kind === 'device') {
      return { kind, sizeBytes: await this.#file.use(async () => deviceSizeBytes(this.#file.fd)) };
    }
    const open = await this.#file.stat();
    const named = await stat(path, { bigint: true }).catch(() => undefined);
    if (named?.ino !== open.ino || named.dev !== open.dev) {
      throw new VolumeError('volume-changed', `${path} was removed or replaced while it was read`);
    }
    const fingerprint = [open.dev, open.ino, open.size, open.mtimeNs, open.ctimeNs].join(':');
    return { kind, sizeBytes: Number(open.size), fingerprint };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}
