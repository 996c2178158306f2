/**
 * The framing of what a server sends once requests go: simple, structured and extended replies (NBD protocol, "Transmission
 * phase"). Bytes go from the socket's pieces straight to whoever waits for them. Nothing is believed that does not answer a request:
 * each length is held against what was asked for before anything is made to hold it, and the first thing that is wrong ends the
 * reading, because where the next reply begins is then unknown.
 */
import { NbdError } from './nbd-error.ts';
import { doneFlag, errnoNames, errorBit, magics, replyTypes, stringBytesMax } from './nbd-numbers.ts';

/** A request on its way, as far as its answer is concerned. */
export interface Awaited {
  readonly kind: 'read' | 'status';
  readonly offset: number;
  readonly lengthBytes: number;
  /** A piece of what was read, good until this returns; `at` counts from the request's beginning. Never past its end. */
  data(at: number, piece: Uint8Array): void;
  /** The range certainly reads as zeros. */
  hole(at: number, lengthBytes: number): void;
  /** The body of one reply on one context. */
  status(payload: Buffer, options: { readonly extended: boolean }): void;
  /** The request has failed; more may follow until it is done. */
  failed(error: NbdError): void;
  /** @throws {NbdError} `nbd-protocol` when the answer was not whole */
  done(): void;
}

/** What was agreed on in the handshake. */
export type ReplyMode = 'simple' | 'structured' | 'extended';

export interface ReplyReaderParts {
  readonly mode: ReplyMode;
  readonly find: (cookie: bigint) => Awaited | undefined;
  /** The answer to this request is complete. */
  readonly finish: (cookie: bigint) => void;
}

/** One context's descriptors of one request; the protocol has servers keep below 2^20 of up to 16 bytes. */
const statusBytesMax = 8 + 16 * 2 ** 20;
const headerBytes = { simple: 16, structured: 20, extended: 32 } as const;
/** Code, length of the text, text, offset. */
const errorBytesMax = 6 + stringBytesMax + 8;

interface Chunk {
  readonly cookie: bigint;
  readonly awaited: Awaited;
  readonly type: number;
  readonly done: boolean;
}

type State =
  | { readonly at: 'header' }
  /** Collects `lengthBytes` before `use` looks at them. */
  | { readonly at: 'payload'; readonly lengthBytes: number; readonly use: (payload: Buffer) => void }
  | { readonly at: 'data'; readonly chunk: Chunk; offset: number; leftBytes: number };

export class ReplyReader {
  readonly #parts: ReplyReaderParts;
  #state: State = { at: 'header' };
  #held: Buffer = Buffer.alloc(headerBytes.extended);
  #heldBytes = 0;

  constructor(parts: ReplyReaderParts) {
    this.#parts = parts;
  }

  /**
   * Takes the next piece, of any length. It is the caller's again when this returns.
   * @throws {NbdError} `nbd-protocol`; nothing may be pushed after that
   */
  push(piece: Uint8Array): void {
    let rest = piece;
    while (rest.length > 0) {
      const state = this.#state;
      if (state.at === 'data') {
        const taken = Math.min(state.leftBytes, rest.length);
        state.chunk.awaited.data(state.offset, rest.subarray(0, taken));
        state.offset += taken;
        state.leftBytes -= taken;
        rest = rest.subarray(taken);
        if (state.leftBytes === 0) this.#end(state.chunk);
        continue;
      }
      rest = rest.subarray(this.#hold(rest));
    }
  }

  /** @returns how many bytes were taken */
  #hold(piece: Uint8Array): number {
    const wanted = this.#state.at === 'payload' ? this.#state.lengthBytes : this.#headerBytes();
    const taken = Math.min(wanted - this.#heldBytes, piece.length);
    this.#held.set(piece.subarray(0, taken), this.#heldBytes);
    this.#heldBytes += taken;
    // The first four bytes of a header tell how long it is.
    const complete = this.#heldBytes === (this.#state.at === 'payload' ? wanted : this.#headerBytes());
    if (!complete) return taken;
    const bytes = this.#held.subarray(0, wanted);
    this.#heldBytes = 0;
    if (this.#state.at === 'payload') this.#state.use(bytes);
    else this.#header(bytes);
    return taken;
  }

  #headerBytes(): number {
    if (this.#heldBytes < 4) return 4;
    const { mode } = this.#parts;
    switch (this.#held.readUInt32BE(0)) {
      case magics.simpleReply:
        if (mode !== 'extended') return headerBytes.simple;
        break;
      case magics.structuredReply:
        if (mode === 'structured') return headerBytes.structured;
        break;
      case magics.extendedReply:
        if (mode === 'extended') return headerBytes.extended;
        break;
    }
    throw wrong(`a reply begins with ${this.#held.toString('hex', 0, 4)}`);
  }

  #header(header: Buffer): void {
    const magic = header.readUInt32BE(0);
    if (magic === magics.simpleReply) {
      const cookie = header.readBigUInt64BE(8);
      this.#simple({ cookie, awaited: this.#find(cookie), type: replyTypes.none, done: true }, header.readUInt32BE(4));
      return;
    }
    const flags = header.readUInt16BE(4);
    const type = header.readUInt16BE(6);
    const cookie = header.readBigUInt64BE(8);
    const extended = magic === magics.extendedReply;
    const length = extended ? header.readBigUInt64BE(24) : BigInt(header.readUInt32BE(16));
    const chunk: Chunk = { cookie, awaited: this.#find(cookie), type, done: (flags & doneFlag) !== 0 };
    if (extended && header.readBigUInt64BE(16) !== BigInt(chunk.awaited.offset)) {
      throw wrong(`a reply is about ${header.readBigUInt64BE(16)}, the request was about ${chunk.awaited.offset}`);
    }
    this.#chunk(chunk, Number(length));
  }

  #simple(chunk: Chunk, errno: number): void {
    const { awaited } = chunk;
    if (errno !== 0) {
      awaited.failed(failure(errno, ''));
      this.#end(chunk);
    } else if (awaited.kind === 'read' && this.#parts.mode === 'simple') {
      this.#state = { at: 'data', chunk, offset: 0, leftBytes: awaited.lengthBytes };
    } else {
      throw wrong(`a simple reply to a request of kind ${awaited.kind}`);
    }
  }

  /** @param lengthBytes of what follows; not exact beyond 2^53, which is too long for anything */
  #chunk(chunk: Chunk, lengthBytes: number): void {
    const { type, awaited } = chunk;
    const bounds = boundsOf(type, awaited);
    if (bounds === undefined) throw wrong(`a reply of type ${type} to a request of kind ${awaited.kind}`);
    if (lengthBytes < bounds.min || lengthBytes > bounds.max) {
      throw wrong(`a reply of type ${type} and ${lengthBytes} bytes to a request for ${awaited.lengthBytes}`);
    }
    if (type === replyTypes.none) {
      if (!chunk.done) throw wrong('an empty reply that ends nothing');
      this.#end(chunk);
    } else if (type === replyTypes.offsetData) {
      this.#collect(8, (payload) => {
        const offset = this.#within(chunk, payload.readBigUInt64BE(0), lengthBytes - 8);
        this.#state = { at: 'data', chunk, offset, leftBytes: lengthBytes - 8 };
      });
    } else {
      this.#collect(lengthBytes, (payload) => {
        this.#whole(chunk, payload);
        this.#end(chunk);
      });
    }
  }

  #whole(chunk: Chunk, payload: Buffer): void {
    const { type, awaited } = chunk;
    if (type === replyTypes.offsetHole) {
      const lengthBytes = payload.readUInt32BE(8);
      if (lengthBytes === 0) throw wrong('a hole of no length');
      awaited.hole(this.#within(chunk, payload.readBigUInt64BE(0), lengthBytes), lengthBytes);
    } else if (type === replyTypes.blockStatus || type === replyTypes.blockStatusExtended) {
      awaited.status(payload, { extended: type === replyTypes.blockStatusExtended });
    } else {
      const textBytes = payload.readUInt16BE(4);
      if (6 + textBytes > payload.length) throw wrong('an error whose text is longer than it is');
      const where =
        type === replyTypes.errorOffset && payload.length === 6 + textBytes + 8
          ? ` at ${payload.readBigUInt64BE(6 + textBytes)}`
          : '';
      awaited.failed(failure(payload.readUInt32BE(0), `${payload.toString('utf8', 6, 6 + textBytes)}${where}`));
    }
  }

  #within({ awaited }: Chunk, offset: bigint, lengthBytes: number): number {
    const at = offset - BigInt(awaited.offset);
    if (at < 0n || at + BigInt(lengthBytes) > BigInt(awaited.lengthBytes)) {
      throw wrong(`a reply of ${offset}+${lengthBytes} to a request for ${awaited.offset}+${awaited.lengthBytes}`);
    }
    return Number(at);
  }

  #collect(lengthBytes: number, use: (payload: Buffer) => void): void {
    if (lengthBytes > this.#held.length) this.#held = Buffer.alloc(lengthBytes);
    this.#state = { at: 'payload', lengthBytes, use };
  }

  #end({ cookie, awaited, done }: Chunk): void {
    this.#state = { at: 'header' };
    // What a long list of descriptors took is not kept.
    if (this.#held.length > errorBytesMax) this.#held = Buffer.alloc(headerBytes.extended);
    if (!done) return;
    awaited.done();
    this.#parts.finish(cookie);
  }

  #find(cookie: bigint): Awaited {
    const awaited = this.#parts.find(cookie);
    if (awaited === undefined) throw wrong(`a reply to request ${cookie}, which is not under way`);
    return awaited;
  }
}

/** The lengths that a body may have. */
function boundsOf(
  type: number,
  { kind, lengthBytes }: Awaited,
): { readonly min: number; readonly max: number } | undefined {
  if (type === replyTypes.none) return { min: 0, max: 0 };
  if ((type & errorBit) !== 0) return { min: 6, max: errorBytesMax };
  if (kind === 'read' && type === replyTypes.offsetData) return { min: 9, max: 8 + lengthBytes };
  if (kind === 'read' && type === replyTypes.offsetHole) return { min: 12, max: 12 };
  if (kind === 'status' && type === replyTypes.blockStatus) return { min: 12, max: statusBytesMax };
  if (kind === 'status' && type === replyTypes.blockStatusExtended) return { min: 24, max: statusBytesMax };
  return undefined;
}

function failure(errno: number, text: string): NbdError {
  const name = errnoNames[errno] ?? `error ${errno}`;
  return new NbdError('nbd-io', text === '' ? `the server answered ${name}` : `the server answered ${name}: ${text}`);
}

function wrong(what: string): NbdError {
  return new NbdError('nbd-protocol', `the server broke the protocol: ${what}`);
}
