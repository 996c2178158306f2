/**
 * The elements of one long array inside a JSON object, while its text comes in pieces that are cut anywhere: only where
 * elements end is found here, their grammar is left to `JSON.parse`. So a list of any length is read in the memory of
 * one piece. What stands beside the array is kept, and is short.
 */
import { JsonError } from './lossless-json.ts';

export interface JsonElementsOptions {
  /** The member of the outermost object that is the array; in any case, as Go's decoder takes it. */
  readonly member: string;
  /** Of one element's text. */
  readonly elementBytesMax: number;
  /** Of all that stands beside the array. */
  readonly outerBytesMax: number;
}

/** Deeper text is refused. */
const depthMax = 16;
/** A member's name and the space around its colon. */
const nameBytesMax = 256;

/** Push the pieces in order, then call `end`. Numbers become doubles. */
export class JsonElements {
  readonly #options: JsonElementsOptions;
  readonly #opens: RegExp;
  /** Everything outside the array, which stands there as `[]`. */
  readonly #outer: Buffer[] = [];
  #outerBytes = 0;
  /** The end of what stands before the present piece. */
  #before = '';
  #place: 'before' | 'inside' | 'after' = 'before';
  /** The beginning of an element whose end has not come yet. */
  #rest: Buffer = Buffer.alloc(0);
  #taken = false;
  #depth = 0;
  #inString = false;
  #escaped = false;

  constructor(options: JsonElementsOptions) {
    this.#options = options;
    this.#opens = new RegExp(`"${options.member}"[ \\t\\r\\n]*:[ \\t\\r\\n]*$`, 'i');
  }

  /** @returns the elements that are complete with this piece, in order @throws {JsonError} */
  push(piece: Uint8Array): unknown[] {
    const fresh = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    const bytes = this.#rest.length === 0 ? fresh : Buffer.concat([this.#rest, fresh]);
    const elements: unknown[] = [];
    let from = 0;
    let cut = -1;
    for (let at = this.#rest.length; at < bytes.length; at += 1) {
      const byte = bytes[at]!;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === backslash) this.#escaped = true;
        else if (byte === quote) this.#inString = false;
      } else if (byte === quote) {
        this.#inString = true;
      } else if (byte === comma) {
        if (this.#depth === 2 && this.#place === 'inside') cut = at;
      } else if (byte === openBrace || byte === openBracket) {
        this.#depth += 1;
        if (this.#depth > depthMax) throw malformed('nested too deeply');
        if (byte === openBracket && this.#depth === 2 && this.#enters(bytes, from, at)) from = at + 1;
      } else if (byte === closeBrace || byte === closeBracket) {
        this.#depth -= 1;
        if (this.#place === 'inside' && this.#depth === 1) {
          if (cut >= from) this.#parse(bytes.toString('utf8', from, cut), elements);
          this.#last(bytes.toString('utf8', Math.max(from, cut + 1), at), elements);
          from = at;
        }
      }
    }
    this.#keep(bytes, { from, cut, elements });
    return elements;
  }

  /**
   * The text is complete. @returns what stands beside the array, or undefined when there was no array
   * @throws {JsonError}
   */
  end(): { readonly outer: unknown; readonly found: boolean } {
    if (this.#place === 'inside' || this.#depth !== 0 || this.#inString) throw malformed('incomplete');
    return { outer: parse(Buffer.concat(this.#outer).toString('utf8')), found: this.#place === 'after' };
  }

  /** At a `[` directly inside the top object: whether it opens the array. */
  #enters(bytes: Buffer, from: number, at: number): boolean {
    if (this.#place !== 'before') return false;
    const near = bytes.toString('latin1', Math.max(from, at - nameBytesMax), at);
    if (!this.#opens.test((this.#before + near).slice(-nameBytesMax))) return false;
    this.#addOuter(bytes.subarray(from, at + 1));
    this.#place = 'inside';
    return true;
  }

  /** What stands before the `]` that closes the array. */
  #last(text: string, elements: unknown[]): void {
    this.#place = 'after';
    if (text.trim() !== '') this.#parse(text, elements);
    else if (this.#taken) throw malformed('a comma too many');
  }

  #keep(bytes: Buffer, { from, cut, elements }: { from: number; cut: number; elements: unknown[] }): void {
    if (this.#place !== 'inside') {
      this.#addOuter(bytes.subarray(from));
      this.#rest = Buffer.alloc(0);
      return;
    }
    if (cut >= from) this.#parse(bytes.toString('utf8', from, cut), elements);
    this.#rest = Buffer.from(bytes.subarray(Math.max(from, cut + 1)));
    if (this.#rest.length > this.#options.elementBytesMax) throw malformed('an element is too long');
  }

  #addOuter(bytes: Buffer): void {
    this.#outerBytes += bytes.length;
    if (this.#outerBytes > this.#options.outerBytesMax) throw malformed('too much beside the array');
    this.#outer.push(Buffer.from(bytes));
    this.#before = (this.#before + bytes.toString('latin1', Math.max(0, bytes.length - nameBytesMax))).slice(
      -nameBytesMax,
    );
  }

  /** Decodes complete elements without the comma behind them. */
  #parse(text: string, elements: unknown[]): void {
    this.#taken = true;
    const items = parse(`[${text}]`);
    if (!Array.isArray(items) || items.length === 0) throw malformed('an element is missing');
    for (const item of items) elements.push(item);
  }
}

const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new JsonError('json', 'malformed JSON', { cause });
  }
}

function malformed(what: string): JsonError {
  return new JsonError('json', `malformed JSON: ${what}`);
}
