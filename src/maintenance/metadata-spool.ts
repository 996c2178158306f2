/**
 * Reads lists and folders for a walk over all snapshots. They lie in packs of their own kind (`q`), many in each, and a
 * walk comes back to a pack again and again. So such a pack is fetched once, whole, into a local folder, and read there;
 * the folder goes with the spool, and what a killed run has left goes when the next one begins. A content in any other
 * pack, as very old programs placed their lists, is fetched by itself.
 */
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { BlobId, BlobStore } from '../blobs/blob-store.ts';
import type { ContentCodec } from '../repository/content/content-codec.ts';
import type { ContentId } from '../repository/content/content-id.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';
import type { IndexSet } from '../repository/index/index-set.ts';
import type { ContentReader } from '../repository/object/content-access.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { makeDirectories } from '../std/atomic-write.ts';

interface Call {
  readonly signal: AbortSignal;
}

export interface MetadataSpoolParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly index: Pick<IndexSet, 'find'>;
}

export class MetadataSpool implements ContentReader, AsyncDisposable {
  readonly #parts: MetadataSpoolParts;
  readonly #folder: string;
  /** The file of each pack that was asked for. */
  readonly #files = new Map<BlobId, Promise<string>>();

  private constructor(parts: MetadataSpoolParts, folder: string) {
    this.#parts = parts;
    this.#folder = folder;
  }

  /** @param folder of this spool alone; what is in it is removed */
  static async open(parts: MetadataSpoolParts, { folder }: { readonly folder: string }): Promise<MetadataSpool> {
    await onDisk(folder, async () => {
      await rm(folder, { recursive: true, force: true });
      await makeDirectories(folder, { mode: 0o700 });
    });
    return new MetadataSpool(parts, folder);
  }

  /** @throws {RepositoryError} `content-missing`, `corrupt`, `index-cache`; {BlobError} */
  async read(id: ContentId, { signal }: Call): Promise<Uint8Array> {
    const entry = this.#parts.index.find(id);
    if (entry === undefined) throw new RepositoryError('content-missing', `no index entry for content ${id}`);
    return this.#parts.codec.open(entry, await this.sealed(entry, { signal }), { verify: true });
  }

  /** Whether the pack is here already, so that reading from it asks the store for nothing. */
  holds(pack: BlobId): boolean {
    return this.#files.has(pack);
  }

  /** The bytes of a content as they stand in its pack. As `read`. */
  async sealed({ packBlob, packOffset, packedLength }: IndexEntry, { signal }: Call): Promise<Uint8Array> {
    const range = { offset: packOffset, lengthBytes: packedLength };
    if (!packBlob.startsWith('q')) return await this.#parts.store.get(packBlob, { range, signal });
    let file = this.#files.get(packBlob);
    if (file === undefined) {
      file = this.#fetch(packBlob, signal);
      file.catch(() => this.#files.delete(packBlob));
      this.#files.set(packBlob, file);
    }
    return await readPart(await file, range, packBlob);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#files.values());
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #fetch(pack: BlobId, signal: AbortSignal): Promise<string> {
    const bytes = await this.#parts.store.get(pack, { signal });
    const path = join(this.#folder, pack);
    await onDisk(this.#folder, async () => await writeFile(path, bytes, { mode: 0o600 }));
    return path;
  }
}

async function readPart(
  path: string,
  { offset, lengthBytes }: { readonly offset: number; readonly lengthBytes: number },
  pack: BlobId,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes);
  const bytesRead = await onDisk(path, async () => {
    await using file = await open(path);
    return (await file.read(bytes, 0, lengthBytes, offset)).bytesRead;
  });
  if (bytesRead === lengthBytes) return bytes;
  throw new RepositoryError('corrupt', `pack ${pack} is shorter than the index says`);
}

async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new RepositoryError('index-cache', `keep lists and folders in ${path}`, { cause });
  }
}
