/**
 * Reads an HTTP/1.1 response from the bytes of a connection (RFC 9112), as they come: the head is gathered, the body is handed
 * on in place. Whatever the length of a body could be read in two ways from is refused: what one program takes for the end of
 * an answer must not be the middle of one for another.
 */
import { BlobError } from '../blob-store.ts';

/** Names in lower case; values of the same name are joined by a comma and a blank. */
export type HttpHeaders = Readonly<Record<string, string | undefined>>;

export interface HttpHead {
  readonly status: number;
  readonly headers: HttpHeaders;
}

/** What a response is handed on to. Pieces are views of what was pushed, good until `push` returns. */
export interface ResponseSink {
  /** Once, before anything of the body. */
  readonly onHead: (head: HttpHead) => void;
  readonly onBody: (piece: Uint8Array) => void;
  /** Once, when the body is complete. */
  readonly onEnd: () => void;
}

/** Of a head with all that comes before it, or of the trailers. S3 sends a few hundred bytes. */
const headBytesMax = 64 * 1024;
/** A line that tells the length of a chunk: 16 digits and what an extension may say. */
const chunkLineBytesMax = 1024;
const interimMax = 16;
const trailersMax = 64;

type Expected =
  | 'head'
  | 'bytes'
  | 'until-close'
  | 'chunk-length'
  | 'chunk-bytes'
  | 'chunk-end'
  | 'trailers'
  | 'nothing';

export class ResponseReader {
  readonly #sink: ResponseSink;
  readonly #bodiless: boolean;
  #expected: Expected = 'head';
  /** Of a line or a head that has not ended yet. */
  #gathered: Buffer = Buffer.alloc(0);
  #remaining = 0;
  #interim = 0;
  #trailers = 0;
  #persistent = false;

  /** `method`: of the request; an answer to HEAD or CONNECT has no body whatever its head says. */
  constructor(sink: ResponseSink, { method }: { readonly method: string }) {
    this.#sink = sink;
    this.#bodiless = method === 'HEAD' || method === 'CONNECT';
  }

  /** Whether the connection can be used for another request: when the answer is complete and says nothing else. */
  get reusable(): boolean {
    return this.#expected === 'nothing' && this.#persistent;
  }

  /** @throws {BlobError} `blob-unavailable`: these are not the bytes of one response */
  push(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#expected === 'nothing') throw malformed('more bytes than the answer has');
      rest = this.#isOfBody() ? this.#body(rest) : this.#text(rest);
    }
  }

  /** The other side has closed the connection. @throws {BlobError} `blob-unavailable`: in the middle of the answer */
  close(): void {
    if (this.#expected === 'nothing') return;
    if (this.#expected !== 'until-close')
      throw new BlobError('blob-unavailable', 'the connection was closed too early');
    this.#end();
  }

  #isOfBody(): boolean {
    return this.#expected === 'bytes' || this.#expected === 'chunk-bytes' || this.#expected === 'until-close';
  }

  #body(bytes: Buffer): Buffer {
    if (this.#expected === 'until-close') {
      this.#sink.onBody(bytes);
      return bytes.subarray(bytes.length);
    }
    const piece = bytes.subarray(0, this.#remaining);
    this.#remaining -= piece.length;
    this.#sink.onBody(piece);
    if (this.#remaining === 0) {
      if (this.#expected === 'bytes') this.#end();
      else this.#expected = 'chunk-end';
    }
    return bytes.subarray(piece.length);
  }

  /** Gathers up to the end of what is expected. @returns what follows that */
  #text(bytes: Buffer): Buffer {
    const mark = this.#expected === 'head' ? '\r\n\r\n' : '\r\n';
    const before = this.#gathered.length;
    const all = before === 0 ? bytes : Buffer.concat([this.#gathered, bytes]);
    const found = all.indexOf(mark, Math.max(0, before - mark.length + 1), 'latin1');
    const max = this.#expected === 'head' || this.#expected === 'trailers' ? headBytesMax : chunkLineBytesMax;
    if ((found < 0 ? all.length : found) > max) throw malformed('a head or a line of it without end');
    if (found < 0) {
      // A copy: the connection reads into the same buffer again.
      this.#gathered = Buffer.from(all);
      return bytes.subarray(bytes.length);
    }
    this.#gathered = Buffer.alloc(0);
    this.#understand(all.toString('latin1', 0, found));
    return all.subarray(found + mark.length);
  }

  #understand(text: string): void {
    if (this.#expected === 'head') this.#head(text);
    else if (this.#expected === 'chunk-length') this.#chunk(text);
    else if (this.#expected === 'trailers') this.#trailer(text);
    else if (text === '') this.#expected = 'chunk-length';
    else throw malformed('a chunk that is longer than it says');
  }

  #head(text: string): void {
    const [first = '', ...lines] = text.split('\r\n');
    const match = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [^\r\n\0]*)?$/.exec(first);
    if (match === null) throw malformed('the answer is not HTTP/1.1');
    const status = Number(match[2]);
    if (status < 200) {
      // 100 Continue and its like: the answer proper is still to come.
      this.#interim += 1;
      if (status === 101 || this.#interim > interimMax) throw malformed('an answer that nobody has asked for');
      return;
    }
    const headers = parseHeaders(lines);
    const length = this.#lengthOf(status, headers);
    this.#persistent = match[1] === '1' && !/\bclose\b/i.test(headers['connection'] ?? '');
    this.#remaining = typeof length === 'number' ? length : 0;
    this.#expected = typeof length === 'number' ? 'bytes' : length;
    this.#sink.onHead({ status, headers });
    if (length === 0) this.#end();
  }

  /** RFC 9112, section 6.3. */
  #lengthOf(status: number, headers: HttpHeaders): number | 'chunk-length' | 'until-close' {
    const { 'transfer-encoding': encoding, 'content-length': length } = headers;
    if (encoding !== undefined && (length !== undefined || encoding.toLowerCase() !== 'chunked')) {
      throw malformed('the length of the answer can be read in two ways');
    }
    if (length !== undefined && !/^\d{1,15}$/.test(length)) throw malformed('the length of the answer is no number');
    if (this.#bodiless || status === 204 || status === 304) return 0;
    if (encoding !== undefined) return 'chunk-length';
    return length === undefined ? 'until-close' : Number(length);
  }

  #chunk(text: string): void {
    const match = /^([0-9a-f]{1,12})(?:[ \t]*;.*)?$/i.exec(text);
    if (match === null) throw malformed('a chunk without a length');
    this.#remaining = Number.parseInt(match[1]!, 16);
    this.#expected = this.#remaining === 0 ? 'trailers' : 'chunk-bytes';
  }

  /** They end with an empty line; what they say is of no use here. */
  #trailer(line: string): void {
    if (line === '') this.#end();
    this.#trailers += 1;
    if (this.#trailers > trailersMax) throw malformed('trailers without end');
  }

  #end(): void {
    this.#persistent &&= this.#expected !== 'until-close';
    this.#expected = 'nothing';
    this.#sink.onEnd();
  }
}

function parseHeaders(lines: readonly string[]): HttpHeaders {
  const headers = Object.create(null) as Record<string, string>;
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon)).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) || /[\0\r\n]/.test(value)) {
      throw malformed('a line of the head that is no header');
    }
    const before = headers[name];
    // Said twice alike, a length is still one.
    if (before === undefined || (name === 'content-length' && before === value)) headers[name] = value;
    else headers[name] = `${before}, ${value}`;
  }
  return headers;
}

function malformed(what: string): BlobError {
  return new BlobError('blob-unavailable', `the answer cannot be read: ${what}`);
}
