/**
 * Packs on their way to the store. Contents are compressed and sealed straight into one of a few aligned buffers;
 * a full buffer travels while the next one fills, so a pack is never held whole in memory. A pack becomes visible,
 * durable, and known to its owner (`onPack`) in that order, and only then may an index name it.
 *
 * What is durable when: nothing before `onPack`. A crash earlier leaves at most an unfinished upload, which the store
 * never shows. Layout of a pack: docs/formats/pack.md (Kopia `content_manager_lock_free.go`).
 */
import assert from 'node:assert/strict';

import { blobId, type BlobId, type BlobStore, type BlobUpload } from '../../blobs/blob-store.ts';
import { directAlignmentBytes } from '../../kernel/aligned-memory.ts';
import type { Clock } from '../../std/clock.ts';
import { randomHex, type Rng } from '../../std/rng.ts';
import { toError } from '../../std/to-error.ts';
import type { CompressorName } from '../content/compression.ts';
import type { ContentCodec } from '../content/content-codec.ts';
import { prefixOf, type ContentId } from '../content/content-id.ts';
import { encodePackTail, packPreamble } from '../content/pack-format.ts';
import type { ContentFormat } from '../format/content-format.ts';
import { encodeIndex } from '../index/encode-index.ts';
import type { IndexEntry } from '../index/index-entry.ts';
import { PackBuffers } from './pack-buffers.ts';

export interface PackWriterParts {
  readonly codec: ContentCodec;
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly rng: Rng;
}

export interface PackWriterOptions {
  /** First letter of the pack's name: `p` for contents without prefix, `q` for those with one. */
  readonly kind: 'p' | 'q';
  readonly format: Pick<ContentFormat, 'version' | 'indexVersion' | 'maxPackSizeBytes' | 'packHead'>;
  /** Its marker is durable. */
  readonly sessionId: string;
  /** Size and number of the buffers; together the memory of this writer. */
  readonly bufferBytes: number;
  readonly buffers: number;
  /** Packs that may be committing (flushed to the medium, renamed; sent) while the next is being filled. */
  readonly committingMax: number;
  /** Called once for each pack, after it is durable. */
  readonly onPack: (entries: readonly IndexEntry[]) => void;
  readonly signal: AbortSignal;
}

interface OpenPack {
  readonly blob: BlobId;
  readonly upload: Promise<BlobUpload>;
  readonly entries: IndexEntry[];
  lengthBytes: number;
  /** The end of the chain of writes; one at a time, in order. */
  written: Promise<void>;
}

export class PackWriter implements AsyncDisposable {
  readonly #parts: PackWriterParts;
  readonly #options: PackWriterOptions;
  readonly #buffers: PackBuffers;
  readonly #committing = new Set<Promise<void>>();
  #pack: OpenPack | undefined;
  #buffer: Uint8Array | undefined;
  #fillBytes = 0;
  #failure: Error | undefined;

  constructor(parts: PackWriterParts, options: PackWriterOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#buffers = new PackBuffers(options);
  }

  /** Bytes of this pack so far, without its tail; 0 when none is open. */
  get openBytes(): number {
    return this.#pack?.lengthBytes ?? 0;
  }

  /**
   * Appends a content, whose id the caller has computed from `plain`. `plain` is free again when the promise resolves.
   * Calls do not overlap.
   * @returns the index entry that `onPack` will report, for the caller's statistics.
   */
  async add(
    id: ContentId,
    plain: Uint8Array,
    compressor: CompressorName,
    previousTimestampSeconds = -1,
  ): Promise<IndexEntry> {
    this.#throwIfFailed();
    const pack = this.#pack ?? (await this.#begin());
    const buffer = await this.#room(pack, this.#parts.codec.sealedBytes(plain.length));
    const sealed = this.#parts.codec.sealInto(id, plain, compressor, buffer, this.#fillBytes);
    const facts = { contentId: id, originalLength: plain.length, deleted: false, ...sealed };
    return await this.#append(pack, facts, previousTimestampSeconds);
  }

  /**
   * Appends a content as it stands in another pack, with a later time. `sealed` is free again when the promise
   * resolves. Calls do not overlap. @throws {RepositoryError} `corrupt` when it is not what its id says
   */
  async copy(from: IndexEntry, sealed: Uint8Array, { deleted }: { readonly deleted: boolean }): Promise<IndexEntry> {
    this.#throwIfFailed();
    const pack = this.#pack ?? (await this.#begin());
    const buffer = await this.#room(pack, sealed.length);
    const packedLength = this.#parts.codec.resealInto(from, sealed, buffer, this.#fillBytes);
    const { contentId, originalLength, compression, timestampSeconds } = from;
    return await this.#append(
      pack,
      { contentId, originalLength, compression, packedLength, deleted },
      timestampSeconds,
    );
  }

  /** Ends the open pack, and resolves when all packs so far are durable and reported. As `cut`. */
  async seal(): Promise<void> {
    const { durable } = await this.cut();
    await durable;
  }

  /**
   * Ends the open pack; `durable` settles when all packs so far are durable and reported, while more may be added. Like
   * `add`, it does not overlap calls.
   */
  async cut(): Promise<{ readonly durable: Promise<void> }> {
    this.#throwIfFailed();
    if (this.#pack !== undefined) await this.#finish(this.#pack);
    const durable = Promise.all(this.#committing).then(() => this.#throwIfFailed());
    durable.catch(() => undefined);
    return { durable };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pack = this.#pack;
    this.#pack = undefined;
    if (pack !== undefined) {
      await pack.written.catch(() => undefined);
      await pack.upload.then((upload) => upload[Symbol.asyncDispose]()).catch(() => undefined);
    }
    await Promise.allSettled(this.#committing);
  }

  /** Takes into the pack what has just been sealed behind `#fillBytes`. */
  async #append(
    pack: OpenPack,
    facts: Pick<IndexEntry, 'contentId' | 'originalLength' | 'compression' | 'packedLength' | 'deleted'>,
    previousTimestampSeconds: number,
  ): Promise<IndexEntry> {
    const nowSeconds = Math.floor(this.#parts.clock.nowMs() / 1000);
    const { kind, format } = this.#options;
    const entry: IndexEntry = {
      ...facts,
      packBlob: pack.blob,
      packOffset: pack.lengthBytes,
      formatVersion: format.version,
      encryptionKeyId: 0,
      timestampSeconds: Math.max(nowSeconds, previousTimestampSeconds + 1),
    };
    assert((prefixOf(entry.contentId) === '') === (kind === 'p'), `content ${entry.contentId} in a ${kind} pack`);
    pack.entries.push(entry);
    pack.lengthBytes += entry.packedLength;
    this.#fillBytes += entry.packedLength;
    if (pack.lengthBytes >= format.maxPackSizeBytes) await this.#finish(pack);
    return entry;
  }

  async #begin(): Promise<OpenPack> {
    const name = randomHex(this.#parts.rng, 16);
    const blob = blobId(`${this.#options.kind}${name}-${this.#options.sessionId}`);
    const buffer = this.#buffer ?? (await this.#takeBuffer());
    const preamble = packPreamble(this.#options.format.packHead, this.#parts.rng);
    buffer.set(preamble);
    this.#buffer = buffer;
    this.#fillBytes = preamble.length;
    const upload = this.#parts.store.upload(blob, { signal: this.#options.signal });
    const written = upload.then(() => undefined);
    written.catch((error: unknown) => this.#fail(error));
    this.#pack = { blob, upload, entries: [], lengthBytes: preamble.length, written };
    return this.#pack;
  }

  /** A buffer with room for `bytes` more behind `#fillBytes`; sends the full one on its way when there is none. */
  async #room(pack: OpenPack, bytes: number): Promise<Uint8Array> {
    assert(this.#buffer !== undefined);
    if (this.#fillBytes + bytes <= this.#buffer.length) return this.#buffer;
    const full = this.#buffer;
    const whole = this.#fillBytes - (this.#fillBytes % directAlignmentBytes);
    const rest = full.slice(whole, this.#fillBytes);
    this.#buffer = undefined;
    this.#send(pack, full, whole);
    const next = await this.#takeBuffer(rest.length + bytes);
    next.set(rest);
    this.#buffer = next;
    this.#fillBytes = rest.length;
    return next;
  }

  #send(pack: OpenPack, buffer: Uint8Array, lengthBytes: number): void {
    const previous = pack.written;
    pack.written = (async () => {
      await previous;
      const upload = await pack.upload;
      if (lengthBytes > 0) await upload.write(buffer.subarray(0, lengthBytes));
      this.#buffers.give(buffer);
    })();
    pack.written.catch((error: unknown) => {
      this.#fail(error);
      this.#buffers.give(buffer);
    });
  }

  async #finish(pack: OpenPack): Promise<void> {
    const { codec, rng } = this.#parts;
    const localIndexPlain = encodeIndex(pack.entries, {
      version: this.#options.format.indexVersion,
      hashLengthBytes: codec.hashLengthBytes,
    });
    const tail = encodePackTail({ packLengthBytes: pack.lengthBytes, localIndexPlain, codec, rng });
    const buffer = await this.#room(pack, tail.length);
    buffer.set(tail, this.#fillBytes);
    this.#send(pack, buffer, this.#fillBytes + tail.length);
    this.#buffer = undefined;
    this.#pack = undefined;
    const commit = (async () => {
      // Taken first, so that a pack whose writing fails is put away as well.
      await using upload = await pack.upload;
      await pack.written;
      await upload.commit();
      this.#options.onPack(pack.entries);
    })();
    commit.catch((error: unknown) => this.#fail(error));
    const tracked = commit.catch(() => undefined).finally(() => this.#committing.delete(tracked));
    this.#committing.add(tracked);
    while (this.#committing.size > this.#options.committingMax) await Promise.race(this.#committing);
    this.#throwIfFailed();
  }

  async #takeBuffer(bytes = 0): Promise<Uint8Array> {
    const buffer = await this.#buffers.take(bytes);
    this.#throwIfFailed();
    return buffer;
  }

  #fail(error: unknown): void {
    this.#failure ??= toError(error);
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
