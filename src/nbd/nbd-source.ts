/**
 * An export of an NBD server as a source: what QEMU, nbdkit and others serve of a virtual machine's disk. Each thread has a connection of
 * its own where the server takes several. Where it does not (`qemu-nbd` takes one unless told otherwise, and ends with it), the
 * threads read through the one of whoever opened the export (`read-relay.ts`).
 */
import { alignedBuffer } from '../kernel/aligned-memory.ts';
import type { Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import { randomHex, type Rng } from '../std/rng.ts';
import type { BlockSource, NbdLocation, SourceIdentity } from '../volume/block-source.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import { VolumeError } from '../volume/block-source.ts';
import { checkRange } from '../volume/volume-errors.ts';
import { allocationContext, bitmapContextPrefix, type Descriptor, readsAsZeros } from './block-status.ts';
import { type ConnectionLimits, NbdConnection, usualLimits } from './nbd-connection.ts';
import { NbdError } from './nbd-error.ts';
import { canonicalNbdUrl, parseNbdUrl } from './nbd-url.ts';
import { RelayedSource, RelayServer } from './read-relay.ts';

export interface OpenNbdOptions {
  /** A dirty bitmap that will be asked about, where the server has it. */
  readonly bitmap?: string | undefined;
  readonly limits?: ConnectionLimits | undefined;
  readonly signal: AbortSignal;
}

/** What a descriptor says of a part of what was asked about. */
export interface StatusRun extends Descriptor {
  readonly offset: number;
}

/** Asked about at once, so that what is next need not be asked for: planning a list of small extents would be a way there and back for each. */
const statusAheadBytes = 256 * 1024 * 1024;
/** How long a further connection is waited for: a server with all places taken lets one connect, and says nothing. */
const furtherConnectMs = 5_000;

/**
 * Opens an export for reading. Its size is fixed from here on.
 * @throws {NbdError} `nbd-url`, `nbd-unreachable`, `nbd-tls`, `nbd-refused`, `nbd-export-missing`, `nbd-protocol`
 */
export async function openNbdSource(
  url: string,
  { clock, rng }: { readonly clock: Clock; readonly rng: Rng },
  { bitmap, limits = usualLimits, signal }: OpenNbdOptions,
): Promise<NbdSource> {
  const parsed = parseNbdUrl(url);
  const contexts = [allocationContext, ...(bitmap === undefined ? [] : [bitmapContextPrefix + bitmap])];
  const connection = await NbdConnection.open(parsed, clock, {
    contexts,
    listPrefix: bitmapContextPrefix,
    limits,
    signal,
  });
  const relay = `nbd ${randomHex(rng, 16)}`;
  const { sizeBytes, multiConn } = connection.info;
  const location: NbdLocation = { kind: 'nbd', path: canonicalNbdUrl(parsed), url, sizeBytes, multiConn, relay };
  return new NbdSource(connection, location, { serve: true });
}

/**
 * The same export in another thread of this process, while whoever opened it has it open.
 * @throws {NbdError} as `openNbdSource`; {VolumeError} `volume-changed` when its size is another
 */
export async function reopenNbdSource(
  location: NbdLocation,
  { clock }: { readonly clock: Clock },
  { signal }: { readonly signal: AbortSignal },
): Promise<BlockSource> {
  if (!location.multiConn) return new RelayedSource(location);
  await using opening = new AsyncDisposableStack();
  let connection: NbdConnection;
  try {
    connection = opening.use(
      await NbdConnection.open(parseNbdUrl(location.url), clock, {
        contexts: [],
        limits: { ...usualLimits, connectMs: furtherConnectMs },
        signal,
      }),
    );
  } catch (error) {
    // Servers that take several connections may still not take so many.
    if (hasCode(error, 'nbd-unreachable')) return new RelayedSource(location);
    throw error;
  }
  const { sizeBytes } = connection.info;
  if (sizeBytes !== location.sizeBytes) {
    throw new VolumeError('volume-changed', `${location.path} has ${sizeBytes} bytes, and had ${location.sizeBytes}`);
  }
  opening.move();
  return new NbdSource(connection, location, { serve: false });
}

export class NbdSource implements BlockSource {
  readonly location: NbdLocation;
  readonly sizeBytes: number;
  readonly #connection: NbdConnection;
  readonly #relay: RelayServer | undefined;
  #ahead: { readonly context: string; readonly range: Extent; readonly runs: readonly StatusRun[] } | undefined;

  constructor(connection: NbdConnection, location: NbdLocation, { serve }: { readonly serve: boolean }) {
    this.#connection = connection;
    this.location = location;
    this.sizeBytes = location.sizeBytes;
    this.#relay = serve ? new RelayServer(location.relay, this) : undefined;
  }

  /** Names of the dirty bitmaps that the server shows. */
  get bitmaps(): readonly string[] {
    const names = [...this.#connection.info.listed, ...this.#connection.info.contexts.values()];
    return [...new Set(names.filter((name) => name.startsWith(bitmapContextPrefix)))].map((name) =>
      name.slice(bitmapContextPrefix.length),
    );
  }

  /** Whether the server lets nobody write to the export; others may still write to what is behind it. */
  get readOnly(): boolean {
    return this.#connection.info.readOnly;
  }

  /** Whether the server answers for a context that the source was opened with. */
  tellsOf(context: string): boolean {
    return this.#contextId(context) !== undefined;
  }

  async read(range: Extent, into: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { path, sizeBytes } = this.location;
    checkRange(range, { sizeBytes, path, bufferBytes: into.length });
    const { max } = this.#connection.info.blockBytes;
    const whole = this.#wholeBlocks(range);
    const exact = whole.offset === range.offset && whole.lengthBytes === range.lengthBytes;
    // Ends within a block are rare: no volume's chunks begin there.
    const bytes = exact ? into : alignedBuffer(whole.lengthBytes);
    await this.#named(`read ${range.offset}+${range.lengthBytes} of ${path}`, async () => {
      for (let at = 0; at < whole.lengthBytes; at += max) {
        const lengthBytes = Math.min(max, whole.lengthBytes - at);
        await this.#connection.read(extent(whole.offset + at, lengthBytes), bytes.subarray(at, at + lengthBytes), {
          signal,
        });
      }
    });
    const start = range.offset - whole.offset;
    if (!exact) into.set(bytes.subarray(start, start + range.lengthBytes));
  }

  readCached(): boolean {
    return false;
  }

  async *dataExtents(within: Extent, { signal }: { readonly signal: AbortSignal }): AsyncGenerator<Extent> {
    checkRange(within, this.location);
    let at: number = within.offset;
    try {
      for await (const run of this.status(allocationContext, within, { signal })) {
        if (!readsAsZeros(run)) yield extent(run.offset, run.lengthBytes);
        at = run.offset + run.lengthBytes;
      }
    } catch (error) {
      // It is not known what is a hole, so nothing is: the data may well be readable.
      if (!hasCode(error, 'nbd-io')) throw error;
      if (at < extentEnd(within)) yield extent(at, extentEnd(within) - at);
    }
  }

  /**
   * What one context says, without gaps and in order; what the server leaves out has no flags. Answers may be a while old: the source stands still.
   * @throws {NbdError} `nbd-io`, `nbd-unreachable`, `nbd-protocol`
   */
  async *status(
    context: string,
    within: Extent,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<StatusRun> {
    const end = extentEnd(within);
    for (let at: number = within.offset; at < end;) {
      const runs = await this.#statusFrom(context, at, { end, signal });
      for (let next = runAt(runs, at); next < runs.length && at < end; next++) {
        const { offset, lengthBytes, flags } = runs[next]!;
        const runEnd = Math.min(offset + lengthBytes, end);
        yield { offset: at, lengthBytes: runEnd - at, flags };
        at = runEnd;
      }
    }
  }

  /**
   * An export is what its server says it is: nothing tells whether it was written to. But it must be one export from the beginning to the
   * end: when the server has been away, threads that connected later may read another disk.
   * @throws {NbdError} `nbd-unreachable`, `nbd-protocol` when the first connection has ended
   */
  async identity({ signal }: { readonly signal: AbortSignal }): Promise<SourceIdentity> {
    await this.#requireAnswer(signal);
    return { kind: 'nbd', sizeBytes: this.sizeBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#relay?.[Symbol.asyncDispose]();
    await this.#connection[Symbol.asyncDispose]();
  }

  /** Runs of which one holds `at`; they may begin before it. */
  async #statusFrom(
    context: string,
    at: number,
    { end, signal }: { readonly end: number; readonly signal: AbortSignal },
  ): Promise<readonly StatusRun[]> {
    const held = this.#ahead;
    if (held?.context === context && held.range.offset <= at && at < extentEnd(held.range)) return held.runs;
    const id = this.#contextId(context);
    if (id === undefined) return [{ offset: at, lengthBytes: end - at, flags: undefined }];
    const wantedEnd = Math.min(this.sizeBytes, Math.max(end, at + statusAheadBytes), at + 2 ** 31);
    const asked = this.#wholeBlocks(extent(at, wantedEnd - at));
    const statuses = await this.#named(
      `ask for the blocks of ${this.location.path}`,
      async () => await this.#connection.blockStatus(asked, { signal }),
    );
    const descriptors = statuses.find((status) => status.context === id)?.descriptors ?? [
      { lengthBytes: asked.lengthBytes, flags: undefined },
    ];
    const runs: StatusRun[] = [];
    let offset: number = asked.offset;
    for (const { lengthBytes, flags } of descriptors) {
      const runEnd = Math.min(offset + lengthBytes, this.sizeBytes);
      runs.push({ offset, lengthBytes: runEnd - offset, flags });
      offset = runEnd;
    }
    if (offset <= at)
      throw new NbdError('nbd-protocol', 'the server broke the protocol: a block status of less than a block');
    this.#ahead = { context, range: extent(asked.offset, offset - asked.offset), runs };
    return runs;
  }

  /** Asks, since an idle connection does not tell that the other end has gone. What cannot be read is an answer too. */
  async #requireAnswer(signal: AbortSignal): Promise<void> {
    const { path, sizeBytes } = this.location;
    signal.throwIfAborted();
    // Nothing is read of it, and there is nothing to ask for.
    if (sizeBytes === 0) return;
    const range = this.#wholeBlocks(extent(0, 1));
    await this.#named(
      `look whether ${path} is there`,
      async () => await this.#connection.read(range, new Uint8Array(range.lengthBytes), { signal }),
    ).catch((error: unknown) => {
      if (!hasCode(error, 'nbd-io')) throw error;
    });
  }

  #contextId(context: string): number | undefined {
    for (const [id, name] of this.#connection.info.contexts) if (name === context) return id;
    return undefined;
  }

  #wholeBlocks({ offset, lengthBytes }: Extent): Extent {
    const { min } = this.#connection.info.blockBytes;
    const start = Math.floor(offset / min) * min;
    return extent(start, Math.min(Math.ceil((offset + lengthBytes) / min) * min, this.sizeBytes) - start);
  }

  async #named<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof NbdError) throw new NbdError(error.code, doing, { cause: error });
      throw error;
    }
  }
}

/** Which of the runs, that follow each other, holds this offset: lists are long, and asked for in small parts. */
function runAt(runs: readonly StatusRun[], offset: number): number {
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (runs[middle]!.offset <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
