/**
 * Reads of threads that have no connection of their own, made by the thread that has one. A thread names a range and memory that all threads
 * see; the bytes go straight there. Both ends of a channel are in one process.
 */
import { BroadcastChannel, threadId } from 'node:worker_threads';

import { packError, type TransferredError, unpackError } from '../std/error-transfer.ts';
import type { BlockSource, NbdLocation, SourceIdentity } from '../volume/block-source.ts';
import { extent, type Extent } from '../volume/extent.ts';
import { checkRange } from '../volume/volume-errors.ts';
import { NbdError } from './nbd-error.ts';

interface ReadMessage {
  readonly kind: 'read';
  /** The thread that asks. */
  readonly thread: number;
  readonly sequence: number;
  readonly offset: number;
  readonly into: Uint8Array;
}

interface ReadDone {
  readonly kind: 'done';
  readonly thread: number;
  readonly sequence: number;
  readonly error?: TransferredError | undefined;
}

type Message = ReadMessage | ReadDone;

/** The end with the connection. */
export class RelayServer implements AsyncDisposable {
  readonly #channel: BroadcastChannel;
  readonly #source: Pick<BlockSource, 'read'>;
  readonly #stop = new AbortController();
  readonly #reads = new Set<Promise<void>>();

  constructor(name: string, source: Pick<BlockSource, 'read'>) {
    this.#source = source;
    this.#channel = open(name, (message) => {
      if (message.kind === 'read') this.#serve(message);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new NbdError('nbd-unreachable', 'the connection was closed'));
    await Promise.all(this.#reads);
    this.#channel.close();
  }

  #serve({ thread, sequence, offset, into }: ReadMessage): void {
    const reply = (error?: TransferredError): void =>
      this.#channel.postMessage({ kind: 'done', thread, sequence, error } satisfies ReadDone);
    const read = this.#source.read(extent(offset, into.length), into, { signal: this.#stop.signal }).then(
      () => reply(),
      (error: unknown) => reply(packError(error)),
    );
    this.#reads.add(read);
    void read.finally(() => this.#reads.delete(read));
  }
}

/** The other end: it reads, and knows nothing else of the export. */
export class RelayedSource implements BlockSource {
  readonly location: NbdLocation;
  readonly sizeBytes: number;
  readonly #channel: BroadcastChannel;
  readonly #waiting = new Map<number, PromiseWithResolvers<void>>();
  #sequence = 0;

  constructor(location: NbdLocation) {
    this.location = location;
    this.sizeBytes = location.sizeBytes;
    this.#channel = open(location.relay, (message) => {
      if (message.kind !== 'done' || message.thread !== threadId) return;
      const waiting = this.#waiting.get(message.sequence);
      this.#waiting.delete(message.sequence);
      if (message.error === undefined) waiting?.resolve();
      else waiting?.reject(unpackError(message.error));
    });
  }

  /** After an abort too this settles only when the other end has let go of the memory. */
  async read(range: Extent, into: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    checkRange(range, { sizeBytes: this.sizeBytes, path: this.location.path, bufferBytes: into.length });
    const wanted = into.subarray(0, range.lengthBytes);
    const shared =
      wanted.buffer instanceof SharedArrayBuffer ? wanted : new Uint8Array(new SharedArrayBuffer(wanted.length));
    const answered = Promise.withResolvers<void>();
    const sequence = this.#sequence++;
    this.#waiting.set(sequence, answered);
    this.#channel.postMessage({
      kind: 'read',
      thread: threadId,
      sequence,
      offset: range.offset,
      into: shared,
    } satisfies ReadMessage);
    await answered.promise;
    if (shared !== wanted) wanted.set(shared);
  }

  readCached(): boolean {
    return false;
  }

  async *dataExtents(within: Extent, { signal }: { readonly signal: AbortSignal }): AsyncGenerator<Extent> {
    signal.throwIfAborted();
    if (within.lengthBytes > 0) yield within;
  }

  async identity({ signal }: { readonly signal: AbortSignal }): Promise<SourceIdentity> {
    signal.throwIfAborted();
    return { kind: 'nbd', sizeBytes: this.sizeBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { reject } of this.#waiting.values()) reject(new NbdError('nbd-unreachable', 'the source was closed'));
    this.#waiting.clear();
    this.#channel.close();
  }
}

/** Neither end keeps its thread alive. */
function open(name: string, onMessage: (message: Message) => void): BroadcastChannel {
  const channel = new BroadcastChannel(name);
  channel.onmessage = (event) => onMessage((event as unknown as { readonly data: Message }).data);
  channel.unref();
  return channel;
}
