/** What has come of the answer to one request, and whether it is whole. */
import assert from 'node:assert/strict';

import { extent, type Extent } from '../volume/extent.ts';
import { coalesce } from '../volume/extents.ts';
import { type ContextStatus, decodeBlockStatus } from './block-status.ts';
import { NbdError } from './nbd-error.ts';
import type { Awaited } from './reply-reader.ts';

export interface Answered extends Awaited {
  readonly outcome: Promise<void>;
  /** Nobody waits any more: what still comes is dropped. */
  abandon(): void;
  /** The connection has ended, or the caller gave up. */
  fail(error: Error): void;
}

abstract class Answer {
  readonly offset: number;
  readonly lengthBytes: number;
  readonly #settled = Promise.withResolvers<void>();
  #error: NbdError | undefined;

  constructor({ offset, lengthBytes }: Extent) {
    this.offset = offset;
    this.lengthBytes = lengthBytes;
    // Whoever has given up does not look.
    this.#settled.promise.catch(() => undefined);
  }

  get outcome(): Promise<void> {
    return this.#settled.promise;
  }

  /** The first error tells the reason. */
  failed(error: NbdError): void {
    this.#error ??= error;
  }

  fail(error: Error): void {
    this.#settled.reject(error);
  }

  done(): void {
    if (this.#error !== undefined) {
      this.#settled.reject(this.#error);
      return;
    }
    this.checkWhole();
    this.#settled.resolve();
  }

  /** @throws {NbdError} `nbd-protocol` */
  abstract checkWhole(): void;
}

/** Parts of one answer that do not follow each other: more cannot be meant well. */
const partsMax = 64 * 1024;

export class ReadAnswer extends Answer implements Answered {
  readonly kind = 'read';
  #into: Uint8Array | undefined;
  /** In the order in which they came. */
  readonly #parts: Extent[] = [];
  #coveredBytes = 0;

  constructor(range: Extent, into: Uint8Array) {
    super(range);
    assert(into.length >= range.lengthBytes);
    this.#into = into.subarray(0, range.lengthBytes);
  }

  data(at: number, piece: Uint8Array): void {
    this.#into?.set(piece, at);
    this.#cover(at, piece.length);
  }

  hole(at: number, lengthBytes: number): void {
    this.#into?.fill(0, at, at + lengthBytes);
    this.#cover(at, lengthBytes);
  }

  status(): void {
    assert.fail('the reader knows what was asked');
  }

  abandon(): void {
    this.#into = undefined;
  }

  /** Every byte once: what no part covers would be what the buffer held before. */
  override checkWhole(): void {
    const sorted = this.#parts.toSorted((a, b) => a.offset - b.offset);
    const whole = [...coalesce(sorted)];
    const isOne = whole.length === 1 && whole[0]!.lengthBytes === this.lengthBytes;
    if (!isOne || this.#coveredBytes !== this.lengthBytes) throw this.#wrong('in part, or twice');
  }

  #cover(at: number, lengthBytes: number): void {
    // Held against each part: of an answer that never ends nobody asks whether it is whole.
    this.#coveredBytes += lengthBytes;
    if (this.#coveredBytes > this.lengthBytes) throw this.#wrong('in part, or twice');
    const last = this.#parts.at(-1);
    // Pieces of one reply follow each other.
    if (last !== undefined && last.offset + last.lengthBytes === at)
      this.#parts[this.#parts.length - 1] = extent(last.offset, last.lengthBytes + lengthBytes);
    else if (this.#parts.push(extent(at, lengthBytes)) > partsMax) throw this.#wrong(`in more than ${partsMax} parts`);
  }

  #wrong(how: string): NbdError {
    return new NbdError(
      'nbd-protocol',
      `the server broke the protocol: a read of ${this.offset}+${this.lengthBytes} was answered ${how}`,
    );
  }
}

export class StatusAnswer extends Answer implements Answered {
  readonly kind = 'status';
  readonly statuses: ContextStatus[] = [];
  readonly #contexts: ReadonlyMap<number, string>;
  #abandoned = false;

  constructor(range: Extent, contexts: ReadonlyMap<number, string>) {
    super(range);
    this.#contexts = contexts;
  }

  status(payload: Buffer, { extended }: { readonly extended: boolean }): void {
    const status = decodeBlockStatus(payload, { extended, lengthBytes: this.lengthBytes });
    const { context } = status;
    if (!this.#contexts.has(context))
      throw new NbdError(
        'nbd-protocol',
        `the server broke the protocol: a block status of context ${context}, which was not agreed on`,
      );
    if (this.statuses.some((other) => other.context === context))
      throw new NbdError('nbd-protocol', `the server broke the protocol: two block statuses of context ${context}`);
    if (!this.#abandoned) this.statuses.push(status);
  }

  data(): void {
    assert.fail('the reader knows what was asked');
  }

  hole(): void {
    assert.fail('the reader knows what was asked');
  }

  abandon(): void {
    this.#abandoned = true;
  }

  override checkWhole(): void {
    // A context that is not mentioned is for the caller to judge.
  }
}
