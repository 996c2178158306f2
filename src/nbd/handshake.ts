/**
 * From a new connection to an export that can be read: fixed newstyle negotiation, with TLS first where the address asks for it.
 * What the server does not know is done without, in this order: extended headers, structured replies, contexts, GO. Nobody falls back
 * from TLS. What was said in the clear before TLS began counts for nothing afterwards.
 */
import type { Socket } from 'node:net';

import { NbdError } from './nbd-error.ts';
import { exportFlags, handshakeFlags, infos, magics, optionReplies, options, stringBytesMax } from './nbd-numbers.ts';
import type { ReplyMode } from './reply-reader.ts';
import { WireReader } from './wire-reader.ts';

export interface ExportInfo {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** The server keeps several connections to the export consistent. */
  readonly multiConn: boolean;
  readonly mode: ReplyMode;
  /** Requests begin and end at multiples of `min`, and ask for `max` at most. */
  readonly blockBytes: { readonly min: number; readonly max: number };
  /** What block status can be asked about, by the ids of this connection. */
  readonly contexts: ReadonlyMap<number, string>;
  /** Contexts that were looked for and are there, whether they can be asked about or not. */
  readonly listed: readonly string[];
}

export interface HandshakeRequest {
  readonly exportName: string;
  /** Those that the server does not have are left out of the answer. */
  readonly contexts: readonly string[];
  /** Contexts that begin so are listed. */
  readonly listPrefix?: string | undefined;
  /** Takes the socket over to TLS; absent: none is wanted. */
  readonly secure?: ((socket: Socket) => Promise<Socket>) | undefined;
}

export interface Negotiated {
  readonly info: ExportInfo;
  readonly socket: Socket;
  /** What the server has said already beyond that. */
  readonly early: Buffer;
}

/** No answer to an option is longer, bytes. */
const answerBytesMax = 64 * 1024;
/** Answers to one option: infos, or contexts. */
const answersMax = 1024;
/** What a server that says nothing of it must take, and send. */
const unsaidBytesMax = 32 * 1024 * 1024;
/** Beyond this nothing begins at a multiple of the blocks. */
const blockBytesMax = 1024 * 1024;

/**
 * One after the other; closing the socket ends it.
 * @throws {NbdError} `nbd-unreachable`, `nbd-tls`, `nbd-refused`, `nbd-export-missing`, `nbd-protocol`
 */
export async function negotiate(socket: Socket, request: HandshakeRequest): Promise<Negotiated> {
  const clear = new Negotiation(socket);
  const { fixed, noZeroes } = await clear.greet();
  let talk = clear;
  if (request.secure !== undefined) {
    if (!fixed) throw new NbdError('nbd-tls', 'the server has no TLS');
    talk = new Negotiation(await clear.startTls(request.secure));
  }
  if (!fixed)
    return talk.end({
      ...(await talk.exportName(request.exportName, { noZeroes })),
      mode: 'simple',
      contexts: new Map(),
      listed: [],
    });
  const mode = await talk.replyMode();
  const listed =
    mode === 'simple' || request.listPrefix === undefined
      ? []
      : [...(await talk.contexts(options.listMetaContext, request.exportName, [request.listPrefix])).values()];
  const contexts =
    mode === 'simple' || request.contexts.length === 0
      ? new Map<number, string>()
      : await talk.contexts(options.setMetaContext, request.exportName, request.contexts);
  const facts = (await talk.go(request.exportName)) ?? (await talk.exportName(request.exportName, { noZeroes }));
  return talk.end({ ...facts, mode, contexts, listed });
}

type Facts = Pick<ExportInfo, 'sizeBytes' | 'readOnly' | 'multiConn' | 'blockBytes'>;
interface Answer {
  readonly type: number;
  readonly data: Buffer;
}

class Negotiation {
  readonly #socket: Socket;
  readonly #wire: WireReader;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#wire = new WireReader(socket);
  }

  end(info: ExportInfo): Negotiated {
    return { info, socket: this.#socket, early: this.#wire.detach() };
  }

  async greet(): Promise<{ readonly fixed: boolean; readonly noZeroes: boolean }> {
    const head = await this.#wire.take(16);
    if (head.readBigUInt64BE(0) !== magics.server)
      throw new NbdError('nbd-protocol', 'what answers there is no NBD server');
    const style = head.readBigUInt64BE(8);
    if (style === magics.oldServer)
      throw new NbdError('nbd-refused', 'the server speaks the old style of NBD, which knows no exports');
    if (style !== magics.options) throw new NbdError('nbd-protocol', 'what answers there is no NBD server');
    const flags = (await this.#wire.take(2)).readUInt16BE(0);
    const fixed = (flags & handshakeFlags.fixedNewstyle) !== 0;
    const noZeroes = (flags & handshakeFlags.noZeroes) !== 0;
    const answer = Buffer.alloc(4);
    answer.writeUInt32BE((fixed ? handshakeFlags.fixedNewstyle : 0) | (noZeroes ? handshakeFlags.noZeroes : 0));
    this.#socket.write(answer);
    return { fixed, noZeroes };
  }

  async startTls(secure: (socket: Socket) => Promise<Socket>): Promise<Socket> {
    this.#send(options.startTls, Buffer.alloc(0));
    const { type, data } = await this.#answer(options.startTls);
    if (type !== optionReplies.ack) throw refusal(type, data, 'nbd-tls', 'the server has no TLS');
    const early = this.#wire.detach();
    // Whoever stands in between could have put it there, to be taken for what came through TLS.
    if (early.length > 0) throw new NbdError('nbd-protocol', 'the server spoke in the clear when TLS was to begin');
    return await secure(this.#socket);
  }

  async replyMode(): Promise<ReplyMode> {
    if (await this.#agrees(options.extendedHeaders)) return 'extended';
    return (await this.#agrees(options.structuredReply)) ? 'structured' : 'simple';
  }

  /** LIST_META_CONTEXT or SET_META_CONTEXT: what there is of it, by id. */
  async contexts(option: number, exportName: string, queries: readonly string[]): Promise<Map<number, string>> {
    this.#send(option, Buffer.concat([string(exportName), uint32(queries.length), ...queries.map(string)]));
    const found = new Map<number, string>();
    for (let answers = 0; ; answers++) {
      const { type, data } = await this.#answer(option);
      if (type === optionReplies.ack) return found;
      // An unknown export, for one; GO will say it.
      if (type > 0x8000_0000) return new Map();
      if (
        type !== optionReplies.metaContext ||
        data.length < 5 ||
        data.length > 4 + stringBytesMax ||
        answers === answersMax
      ) {
        throw wrong(`answer ${type} of ${data.length} bytes to option ${option}`);
      }
      const name = data.toString('utf8', 4);
      if (option === options.setMetaContext && !queries.includes(name))
        throw wrong(`a context ${name}, which nobody has asked for`);
      // Ids mean nothing in a list, and may all be the same there.
      const id = option === options.setMetaContext ? data.readUInt32BE(0) : answers;
      if (found.has(id)) throw wrong(`two contexts with the id ${id}`);
      found.set(id, name);
    }
  }

  /** @returns undefined when the server does not know GO */
  async go(exportName: string): Promise<Facts | undefined> {
    this.#send(options.go, Buffer.concat([string(exportName), uint16(1), uint16(infos.blockSize)]));
    let facts: Omit<Facts, 'blockBytes'> | undefined;
    let blockBytes: Facts['blockBytes'] = { min: 1, max: unsaidBytesMax };
    for (let answers = 0; ; answers++) {
      const { type, data } = await this.#answer(options.go);
      if (type === optionReplies.unsupported) return undefined;
      if (type === optionReplies.ack) {
        if (facts === undefined) throw wrong('an export without a size');
        return { ...facts, blockBytes };
      }
      if (type === optionReplies.unknownExport) throw missing(exportName, text(data));
      if (type > 0x8000_0000) throw refusal(type, data, 'nbd-refused', 'the server does not give the export');
      if (type !== optionReplies.info || data.length < 2 || answers === answersMax)
        throw wrong(`answer ${type} of ${data.length} bytes to GO`);
      const info = data.readUInt16BE(0);
      if (info === infos.export) facts = factsOf(data, 2, { exactBytes: 12 });
      if (info === infos.blockSize) blockBytes = blocksOf(data);
    }
  }

  /** The way of old servers: an export that is missing, or not for us, is a connection that closes. */
  async exportName(name: string, { noZeroes }: { readonly noZeroes: boolean }): Promise<Facts> {
    this.#send(options.exportName, Buffer.from(name));
    let answer: Buffer;
    try {
      answer = await this.#wire.take(noZeroes ? 10 : 134);
    } catch (error) {
      throw missing(name, '', { cause: error });
    }
    return { ...factsOf(answer, 0, { exactBytes: undefined }), blockBytes: { min: 1, max: unsaidBytesMax } };
  }

  /** Asks for something that has no data; what is not known is not there. */
  async #agrees(option: number): Promise<boolean> {
    this.#send(option, Buffer.alloc(0));
    const { type, data } = await this.#answer(option);
    if (type === optionReplies.tlsRequired) throw refusal(type, data, 'nbd-tls', '');
    if (type !== optionReplies.ack && type < 0x8000_0000) throw wrong(`answer ${type} to option ${option}`);
    return type === optionReplies.ack;
  }

  async #answer(option: number): Promise<Answer> {
    const head = await this.#wire.take(20);
    const lengthBytes = head.readUInt32BE(16);
    if (head.readBigUInt64BE(0) !== magics.optionReply) throw wrong('an answer to an option that is none');
    if (head.readUInt32BE(8) !== option)
      throw wrong(`an answer to option ${head.readUInt32BE(8)} instead of ${option}`);
    if (lengthBytes > answerBytesMax) throw wrong(`an answer of ${lengthBytes} bytes to option ${option}`);
    return { type: head.readUInt32BE(12), data: await this.#wire.take(lengthBytes) };
  }

  #send(option: number, data: Uint8Array): void {
    const head = Buffer.alloc(16);
    head.writeBigUInt64BE(magics.options, 0);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(data.length, 12);
    this.#socket.write(Buffer.concat([head, data]));
  }
}

function factsOf(
  data: Buffer,
  at: number,
  { exactBytes }: { readonly exactBytes: number | undefined },
): Omit<Facts, 'blockBytes'> {
  if (exactBytes !== undefined && data.length !== exactBytes)
    throw wrong(`the facts of an export in ${data.length} bytes`);
  const size = data.readBigUInt64BE(at);
  if (size > BigInt(Number.MAX_SAFE_INTEGER))
    throw new NbdError('nbd-too-large', `the export has ${size} bytes: 8 PiB or more`);
  const flags = data.readUInt16BE(at + 8);
  if ((flags & exportFlags.hasFlags) === 0) throw wrong('an export without flags');
  return {
    sizeBytes: Number(size),
    readOnly: (flags & exportFlags.readOnly) !== 0,
    multiConn: (flags & exportFlags.canMultiConn) !== 0,
  };
}

function blocksOf(data: Buffer): Facts['blockBytes'] {
  if (data.length !== 14) throw wrong(`block sizes in ${data.length} bytes`);
  const min = data.readUInt32BE(2);
  const max = data.readUInt32BE(10);
  const isPower = Number.isInteger(Math.log2(min));
  if (!isPower || min > blockBytesMax || max < min) throw wrong(`blocks of ${min} to ${max} bytes`);
  return { min, max: Math.floor(Math.min(max, unsaidBytesMax) / min) * min };
}

function missing(name: string, said: string, options?: ErrorOptions): NbdError {
  const what = name === '' ? 'the server has no default export' : `the server has no export ${name}`;
  return new NbdError('nbd-export-missing', said === '' ? what : `${what}: ${said}`, options);
}

function refusal(type: number, data: Buffer, code: 'nbd-tls' | 'nbd-refused', what: string): NbdError {
  const said = text(data) === '' ? '' : `: ${text(data)}`;
  if (type === optionReplies.tlsRequired) return new NbdError('nbd-tls', `the server wants TLS${said}`);
  return new NbdError(code, `${what}${said}`);
}

function text(data: Buffer): string {
  return data.toString('utf8', 0, stringBytesMax);
}

function string(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function wrong(what: string): NbdError {
  return new NbdError('nbd-protocol', `the server broke the protocol: ${what}`);
}
