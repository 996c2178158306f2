/**
 * A blob on its way into a directory store: written under a temporary name, past the page cache where the pieces are
 * aligned, and given its own name when it is on stable storage. What a crash leaves is a `.tmp.` file that no listing shows.
 */
import { link, rename, unlink } from 'node:fs/promises';
import { constants } from 'node:fs';
import { DirectFile } from '../../kernel/direct-file.ts';
import { temporaryName } from '../../std/atomic-write.ts';
import type { Rng } from '../../std/rng.ts';
import { BlobError, type BlobId, type BlobUpload } from '../blob-store.ts';
import type { BlobDirectories } from './blob-directories.ts';
import { withBlobErrors } from './directory-errors.ts';

const blobMode = 0o600;

export interface DirectoryUploadParts {
  readonly id: BlobId;
  /** Where the blob will lie. */
  readonly path: string;
  readonly directories: BlobDirectories;
  readonly rng: Rng;
  readonly signal: AbortSignal;
  /** Called when the name has come to mean this blob. */
  readonly onVisible: () => Promise<void>;
}

export class DirectoryUpload implements BlobUpload {
  readonly #parts: DirectoryUploadParts;
  readonly #file: DirectFile;
  readonly #temporary: string;
  #lengthBytes = 0;
  /** `broken`: a sync failed, after which the kernel may have dropped the bytes and a second sync would lie. */
  #state: 'open' | 'synced' | 'linked' | 'named' | 'broken' | 'gone' = 'open';

  private constructor(parts: DirectoryUploadParts, file: DirectFile, temporary: string) {
    this.#parts = parts;
    this.#file = file;
    this.#temporary = temporary;
  }

  /** Throws BlobErrors. */
  static async open(parts: DirectoryUploadParts, { direct }: { readonly direct: boolean }): Promise<DirectoryUpload> {
    const { id, path, directories, rng } = parts;
    return await withBlobErrors(`store ${id}`, async () => {
      const temporary = temporaryName(path, rng);
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
      const file = await directories.creating(temporary, () =>
        DirectFile.open(temporary, { flags, mode: blobMode, direct }),
      );
      return new DirectoryUpload(parts, file, temporary);
    });
  }

  async write(piece: Uint8Array): Promise<void> {
    const { id, signal } = this.#parts;
    signal.throwIfAborted();
    if (this.#state !== 'open') throw new BlobError('blob-unavailable', `append to ${id}: the upload has ended`);
    await withBlobErrors(`append to ${id}`, () => this.#file.write(piece, this.#lengthBytes));
    this.#lengthBytes += piece.length;
  }

  async commit(): Promise<void> {
    await this.finish({ ifAbsent: false });
  }

  /** @throws {BlobError} `blob-exists` with `ifAbsent` when the name is taken; of two at once, one wins */
  async finish({ ifAbsent }: { readonly ifAbsent: boolean }): Promise<void> {
    const { id, path, directories, signal, onVisible } = this.#parts;
    await withBlobErrors(`complete ${id}`, async () => {
      if (this.#state === 'named') return;
      if (this.#state === 'open') {
        signal.throwIfAborted();
        await this.#sync();
      }
      if (this.#state === 'synced') {
        signal.throwIfAborted();
        if (ifAbsent) await link(this.#temporary, path);
        else await rename(this.#temporary, path);
        this.#state = 'linked';
        if (ifAbsent) await unlink(this.#temporary);
        await onVisible();
      }
      if (this.#state !== 'linked') {
        throw new BlobError('blob-unavailable', `the upload of ${id} has failed or was dropped`);
      }
      await directories.sync(path);
      this.#state = 'named';
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
    if (this.#state === 'named') return;
    await unlink(this.#temporary).catch(() => undefined);
    this.#state = 'gone';
  }

  async #sync(): Promise<void> {
    this.#state = 'broken';
    await this.#file.flush();
    await this.#file[Symbol.asyncDispose]();
    this.#state = 'synced';
  }
}
