/**
 * The slow part of opening a repository: reading its format blob and making the key of the password, which takes a
 * thread 0.15 s. This file imports little (no schemas, no native code), so that a program can begin here and load
 * meanwhile what it will do with the repository. It begins early only when nobody has to be asked: whoever mistyped the
 * source should not first be asked for a password.
 */
import { blobId, type BlobStore } from '../../blobs/blob-store.ts';
import { describeLocation, parseRepositoryUrl, type BlobStoreLocation } from '../../blobs/location.ts';
import { openBlobStore } from '../../blobs/open-blob-store.ts';
import { createCounts } from '../../blobs/count.ts';
import { defaultHedge } from '../../blobs/hedge.ts';
import { createRateBucket } from '../../blobs/rate.ts';
import { defaultRetry } from '../../blobs/retry.ts';
import type { FormatBlob } from '../../repository/format/format-blob.ts';
import type { KeyedFormat } from '../../repository/format/format-store.ts';
import { deriveFormatKey } from '../../repository/format/key-derivation.ts';
import { blobcfgId, getIfPresent, readFormat } from '../../repository/format/read-format.ts';
import { repositoryId } from '../../repository/repository-id.ts';
import { RepositoryError } from '../../repository/repository-error.ts';
import { hasCode } from '../../std/dray-error.ts';
import type { CliContext } from '../shell/cli-context.ts';

/** What Velero puts into a repository that it has made (`pkg/repository/udmrepo/kopialib`), and its default password. */
const veleroMark = blobId('udmrepo.Repository');
const veleroPassword = 'static-passw0rd';

export interface OpeningOptions {
  readonly rateBytesPerSecond?: number | undefined;
}

/** `store` belongs to whoever took it. */
export interface KeyedStore extends KeyedFormat {
  readonly location: BlobStoreLocation;
  readonly store: BlobStore;
}

interface UnderWay {
  readonly location: BlobStoreLocation;
  readonly store: BlobStore;
  readonly blob: FormatBlob;
  readonly formatKey: Promise<Uint8Array>;
  readonly sealedBlobcfg: Promise<Uint8Array | undefined>;
}

export class RepositoryOpening implements AsyncDisposable {
  readonly #context: CliContext;
  readonly #options: OpeningOptions;
  #begun: Promise<UnderWay> | undefined;
  #taken = false;

  constructor(context: CliContext, options: OpeningOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Resolves when the key is being made, or when that has to wait; what fails is told by `take`. */
  async begin(): Promise<void> {
    if (!this.#context.passwordAtHand) return;
    this.#begun = this.#open();
    await this.#begun.catch(() => {});
  }

  /** The repository's own id, hexadecimal, known before its key is. @throws as `take` */
  async repositoryId(): Promise<string> {
    const { blob } = await (this.#begun ??= this.#open());
    return repositoryId(blob);
  }

  /** Once. @throws {CliError} as `CliContext.password`; {RepositoryError} as `readFormat`, `deriveFormatKey`; {BlobError} */
  async take(): Promise<KeyedStore> {
    const { formatKey, sealedBlobcfg, ...rest } = await (this.#begun ??= this.#open());
    const taken = { ...rest, formatKey: await formatKey, sealedBlobcfg: await sealedBlobcfg };
    this.#taken = true;
    return taken;
  }

  /** Puts away what nobody took. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#taken) return;
    const begun = await this.#begun?.catch(() => undefined);
    await begun?.store[Symbol.asyncDispose]();
  }

  /** Velero marks its repositories, and gives all of them the same password unless told another. */
  async #unnamedPassword(store: BlobStore): Promise<string> {
    try {
      await store.stat(veleroMark, this.#context);
    } catch (error) {
      if (hasCode(error, 'blob-not-found')) return await this.#context.password();
      throw error;
    }
    this.#context.log.info("this is Velero's: opening it with Velero's default password; if yours is another, name it");
    return veleroPassword;
  }

  async #open(): Promise<UnderWay> {
    const location = storeLocation(this.#context, this.#options);
    // Asked for before anything is opened, unless there may be nothing to ask.
    const named = this.#context.passwordNamed ? await this.#context.password() : undefined;
    const store = await openExisting(location, this.#context);
    try {
      const password = named ?? (await this.#unnamedPassword(store));
      const blob = await readFormat(store, this.#context);
      const formatKey = deriveFormatKey(password, blob);
      const sealedBlobcfg = getIfPresent(store, blobcfgId, this.#context);
      for (const promise of [formatKey, sealedBlobcfg]) promise.catch(() => {}); // Told by whoever takes them.
      return { location, store, blob, formatKey, sealedBlobcfg };
    } catch (error) {
      await store[Symbol.asyncDispose]();
      throw error;
    }
  }
}

/** Where the repository is, with retries, and with one rate for all threads when there is a limit. */
export function storeLocation(
  context: CliContext,
  options: OpeningOptions & { readonly url?: string | undefined } = {},
): BlobStoreLocation {
  const { rateBytesPerSecond } = options;
  const place = parseRepositoryUrl(context.repositoryUrl(options.url), context.s3Defaults);
  const layers = { retry: defaultRetry, count: { counts: createCounts() } };
  const location = place.kind === 's3' ? { ...place, ...layers, hedge: defaultHedge } : { ...place, ...layers };
  if (rateBytesPerSecond === undefined) return location;
  return { ...location, rate: { bytesPerSecond: rateBytesPerSecond, bucket: createRateBucket() } };
}

/** A folder that is not there is a repository that is not there. */
async function openExisting(location: BlobStoreLocation, { clock, rng, signal }: CliContext): Promise<BlobStore> {
  try {
    return await openBlobStore(location, { signal, clock, rng });
  } catch (error) {
    if (!hasCode(error, 'blob-not-found')) throw error;
    throw new RepositoryError('repository-missing', `there is no repository at ${describeLocation(location)}`, {
      cause: error,
    });
  }
}
