/**
 * One connection to an export, with many requests on their way, told apart by cookies. It ends as a whole: what breaks it, be it the
 * network, a reply that cannot be, or silence, fails all that is under way, and every later request with the same error. It is
 * not made again here: what a server says after it was away may be of another disk.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';

import { abortReason } from '../std/abort.ts';
import type { Clock } from '../std/clock.ts';
import { Semaphore } from '../std/semaphore.ts';
import type { Extent } from '../volume/extent.ts';
import { type ContextStatus } from './block-status.ts';
import type { ExportInfo } from './handshake.ts';
import { NbdError } from './nbd-error.ts';
import { dial, type DialOptions } from './nbd-dialer.ts';
import { commands, magics } from './nbd-numbers.ts';
import type { NbdUrl } from './nbd-url.ts';
import { type Answered, ReadAnswer, StatusAnswer } from './request-answers.ts';
import { ReplyReader } from './reply-reader.ts';

/** On their way at once; each of a read has its buffer already. */
const requestsMax = 16;
const closeMsMax = 1_000;

export interface ConnectionLimits {
  /** Until the export can be read. */
  readonly connectMs: number;
  /** With a request under way, the server says something in this time. */
  readonly silenceMs: number;
  /** A request is answered in this time, whatever else is. */
  readonly requestMs: number;
}

export const usualLimits: ConnectionLimits = { connectMs: 20_000, silenceMs: 60_000, requestMs: 600_000 };

interface Pending {
  readonly answer: Answered;
  readonly begunMs: number;
}

export class NbdConnection implements AsyncDisposable {
  readonly info: ExportInfo;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #limits: ConnectionLimits;
  readonly #pending = new Map<bigint, Pending>();
  readonly #slots = new Semaphore(requestsMax);
  readonly #stop = new AbortController();
  #cookie = 0n;
  #movedMs: number;
  #failure: NbdError | undefined;
  #watching = false;

  /** @throws {NbdError} as `dial` */
  static async open(
    url: NbdUrl,
    clock: Clock,
    { limits, ...options }: Omit<DialOptions, 'connectMs'> & { readonly limits: ConnectionLimits },
  ): Promise<NbdConnection> {
    const { info, socket, early } = await dial(url, clock, { ...options, connectMs: limits.connectMs });
    return new NbdConnection({ info, socket, clock, limits }, early);
  }

  private constructor(
    { info, socket, clock, limits }: { info: ExportInfo; socket: Socket; clock: Clock; limits: ConnectionLimits },
    early: Buffer,
  ) {
    this.info = info;
    this.#socket = socket;
    this.#clock = clock;
    this.#limits = limits;
    this.#movedMs = clock.monotonicMs();
    const reader = new ReplyReader({
      mode: info.mode,
      find: (cookie) => this.#pending.get(cookie)?.answer,
      finish: (cookie) => void this.#pending.delete(cookie),
    });
    const push = (piece: Buffer): void => {
      if (this.#failure !== undefined) return;
      this.#movedMs = this.#clock.monotonicMs();
      try {
        reader.push(piece);
      } catch (error) {
        assert(error instanceof NbdError, error as Error);
        this.#fail(error);
      }
    };
    socket.on('error', (error) =>
      this.#fail(new NbdError('nbd-unreachable', 'the connection broke', { cause: error })),
    );
    const closed = (): void => this.#fail(new NbdError('nbd-unreachable', 'the server closed the connection'));
    socket.on('end', closed).on('close', closed).on('data', push);
    if (early.length > 0) push(early);
    if (socket.destroyed || socket.readableEnded) closed();
    socket.resume();
  }

  /**
   * Fills the beginning of `into`. The range is of whole blocks, and not longer than the server takes at once. Calls may overlap. After
   * an abort nothing is written to `into` any more.
   * @throws {NbdError} `nbd-io`, `nbd-unreachable`, `nbd-protocol`
   */
  async read(range: Extent, into: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    await this.#request(commands.read, new ReadAnswer(range, into), signal);
  }

  /**
   * What the contexts say of a range of whole blocks; each list may end before the range does, or past it. A context that the server does not mention is
   * missing.
   * @throws {NbdError} `nbd-io`, `nbd-unreachable`, `nbd-protocol`
   */
  async blockStatus(range: Extent, { signal }: { readonly signal: AbortSignal }): Promise<readonly ContextStatus[]> {
    const answer = new StatusAnswer(range, this.info.contexts);
    await this.#request(commands.blockStatus, answer, signal);
    return answer.statuses;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const alive = this.#failure === undefined;
    this.#failure ??= new NbdError('nbd-unreachable', 'the connection was closed');
    if (alive) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#socket
        .once('close', resolve)
        .end(this.#header(commands.disconnect, { offset: 0, lengthBytes: 0 }), resolve);
      const soon = new AbortController();
      await Promise.race([promise, this.#clock.sleep(closeMsMax, { signal: soon.signal }).catch(() => undefined)]);
      soon.abort(new Error('closed'));
    }
    this.#end(this.#failure);
  }

  async #request(command: number, answer: Answered, signal: AbortSignal): Promise<void> {
    using _slot = await this.#slots.acquire(1, { signal });
    if (this.#failure !== undefined) throw this.#failure;
    const nowMs = this.#clock.monotonicMs();
    if (this.#pending.size === 0) this.#movedMs = nowMs;
    const header = this.#header(command, answer);
    this.#pending.set(this.#cookie, { answer, begunMs: nowMs });
    this.#socket.write(header);
    void this.#watch();
    const giveUp = (): void => answer.fail(abortReason(signal));
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      await answer.outcome;
    } finally {
      signal.removeEventListener('abort', giveUp);
      // It stays known until its reply has come, so that this is not taken for one that answers nothing.
      answer.abandon();
    }
  }

  #header(command: number, { offset, lengthBytes }: { readonly offset: number; readonly lengthBytes: number }): Buffer {
    this.#cookie += 1n;
    const extended = this.info.mode === 'extended';
    const header = Buffer.alloc(extended ? 32 : 28);
    header.writeUInt32BE(extended ? magics.extendedRequest : magics.request, 0);
    header.writeUInt16BE(command, 6);
    header.writeBigUInt64BE(this.#cookie, 8);
    header.writeBigUInt64BE(BigInt(offset), 16);
    if (extended) header.writeBigUInt64BE(BigInt(lengthBytes), 24);
    else header.writeUInt32BE(lengthBytes, 24);
    return header;
  }

  /** Looks after the time while anything is under way: TCP tells of a machine that is gone, nobody of a server that hangs. */
  async #watch(): Promise<void> {
    if (this.#watching) return;
    this.#watching = true;
    const { silenceMs, requestMs } = this.#limits;
    const { signal } = this.#stop;
    while (this.#failure === undefined && this.#pending.size > 0) {
      const nowMs = this.#clock.monotonicMs();
      const [oldest] = this.#pending.values();
      assert(oldest !== undefined);
      const leftMs = Math.min(this.#movedMs + silenceMs, oldest.begunMs + requestMs) - nowMs;
      if (leftMs <= 0) {
        const heard = `${Math.round((nowMs - this.#movedMs) / 1000)} s`;
        this.#fail(
          new NbdError('nbd-unreachable', `the server did not answer in time; the last it said was ${heard} ago`),
        );
        break;
      }
      await this.#clock.sleep(Math.ceil(leftMs), { signal }).catch(() => undefined);
    }
    this.#watching = false;
  }

  #fail(error: NbdError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#end(error);
  }

  #end(error: NbdError): void {
    this.#stop.abort(new Error('the connection has ended'));
    this.#socket.destroy();
    for (const { answer } of this.#pending.values()) answer.fail(error);
    this.#pending.clear();
  }
}
