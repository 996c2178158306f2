/**
 * The text of an indirect object: which objects follow each other (Kopia `repo/object/indirect.go`). The encoder prints
 * what Go's prints, so that equal lists are equal contents. The decoder takes the text in arbitrary pieces, because the
 * list of a 16 TiB volume is 26 MB of it: it finds where elements end by itself and leaves their grammar to
 * `JSON.parse`. As Go does, it accepts any whitespace, order and case of fields, and ignores fields it does not know.
 */
import { RepositoryError } from '../repository-error.ts';
import { objectId } from './object-id.ts';
import type { ObjectId } from './object-id.ts';

/** One member of a list: `lengthBytes` bytes of the whole, from `offset` on, are the object `objectId`. */
export interface IndirectEntry {
  readonly offset: number;
  readonly lengthBytes: number;
  readonly objectId: ObjectId;
}

export const indirectHead = '{"stream":"kopia:indirect","entries":[';
export const indirectTail = ']}\n';

export function encodeEntry({ offset, lengthBytes, objectId }: IndirectEntry): string {
  const start = offset === 0 ? '' : `"s":${offset},`;
  const length = lengthBytes === 0 ? '' : `"l":${lengthBytes},`;
  return `{${start}${length}"o":"${objectId}"}`;
}

export function encodeIndirect(entries: readonly IndirectEntry[]): Uint8Array {
  return Buffer.from(indirectHead + entries.map(encodeEntry).join(',') + indirectTail, 'latin1');
}

/** Decodes a whole list. @throws {RepositoryError} `corrupt` */
export function decodeIndirect(bytes: Uint8Array, options: { readonly startOffset?: number } = {}): IndirectEntry[] {
  const parser = new IndirectParser(options);
  const entries = parser.push(bytes);
  parser.end();
  return entries;
}

const elementLengthMax = 16_384;
const outerLengthMax = 16_384;
const depthMax = 16;

/**
 * Push the pieces of the text in order, then call `end`. Entries come out as soon as they are complete, checked to be
 * contiguous from `startOffset` on. Memory: what one piece holds and 16 KiB.
 */
export class IndirectParser {
  /** Everything outside the array of entries, which stands there as `[]`. */
  #outer = '';
  #place: 'before' | 'inside' | 'after' = 'before';
  /** The beginning of an element whose end has not come yet. */
  #element = '';
  #afterComma = false;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #count = 0;
  #end: number;
  #lastText = '';
  #lastId = '' as ObjectId;

  constructor(options: { readonly startOffset?: number } = {}) {
    this.#end = options.startOffset ?? 0;
  }

  /** Where the last entry so far ends. */
  get endOffset(): number {
    return this.#end;
  }

  /** @throws {RepositoryError} `corrupt` */
  push(piece: Uint8Array): IndirectEntry[] {
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    const entries: IndirectEntry[] = [];
    let from = 0;
    let cut = -1;
    for (let at = 0; at < bytes.length; at += 1) {
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
        if (this.#depth > depthMax) throw corrupt('nested too deeply');
        if (byte === openBracket && this.#depth === 2 && this.#place === 'before') {
          if (this.#enter(bytes.toString('latin1', from, at))) from = at + 1;
        }
      } else if (byte === closeBrace || byte === closeBracket) {
        this.#depth -= 1;
        if (this.#place === 'inside' && this.#depth === 1) {
          if (cut >= from) this.#take(bytes.toString('latin1', from, cut), entries);
          this.#leave(bytes.toString('latin1', Math.max(from, cut + 1), at), entries);
          from = at;
        }
      }
    }
    this.#keep(bytes, { from, cut, entries });
    return entries;
  }

  /** The text is complete. @throws {RepositoryError} `corrupt`, also when the list is empty. */
  end(): void {
    if (this.#place !== 'after' || this.#depth !== 0 || this.#inString) throw corrupt('incomplete');
    const outer = parse(this.#outer);
    if (typeof outer !== 'object' || outer === null) throw corrupt('not an object');
    if (field(outer, 'stream') !== 'kopia:indirect') throw corrupt('not a list of chunks');
    // Kopia's reader itself fails on an empty list.
    if (this.#count === 0) throw corrupt('no entries');
  }

  /** At a `[` directly inside the top object. Returns whether it opens the entries. */
  #enter(text: string): boolean {
    const outer = this.#outer + text;
    if (!/"entries"[ \t\r\n]*:[ \t\r\n]*$/i.test(outer.slice(-256))) return false;
    this.#outer = `${outer}[`;
    this.#place = 'inside';
    return true;
  }

  #leave(text: string, entries: IndirectEntry[]): void {
    this.#place = 'after';
    const last = this.#element + text;
    if (last.trim() !== '') this.#take(text, entries);
    else if (this.#afterComma) throw corrupt('a comma too many');
  }

  #keep(bytes: Buffer, { from, cut, entries }: { from: number; cut: number; entries: IndirectEntry[] }): void {
    let start = from;
    if (this.#place !== 'inside') {
      this.#outer += bytes.toString('latin1', start);
      if (this.#outer.length > outerLengthMax) throw corrupt('too much beside the entries');
      return;
    }
    if (cut >= start) {
      this.#take(bytes.toString('latin1', start, cut), entries);
      start = cut + 1;
    }
    this.#element += bytes.toString('latin1', start);
    if (this.#element.length > elementLengthMax) throw corrupt('an entry is too long');
  }

  /** Decodes complete elements without the comma behind them. */
  #take(text: string, entries: IndirectEntry[]): void {
    const items = parse(`[${this.#element}${text}]`);
    this.#element = '';
    this.#afterComma = true;
    if (!Array.isArray(items) || items.length === 0) throw corrupt('an entry is missing');
    for (const item of items) entries.push(this.#entry(item));
  }

  #entry(item: unknown): IndirectEntry {
    if (typeof item !== 'object' || item === null) throw corrupt('an entry is no object');
    let { s, l, o } = item as RawEntry;
    if (o === undefined || l === undefined || (s === undefined && this.#end !== 0)) {
      s = field(item, 's');
      l = field(item, 'l');
      o = field(item, 'o');
    }
    const offset = s ?? 0;
    const lengthBytes = l ?? 0;
    if (typeof lengthBytes !== 'number' || !(lengthBytes >= 0) || !Number.isSafeInteger(lengthBytes)) {
      throw corrupt(`entry ${this.#count} has no valid length`);
    }
    if (offset !== this.#end) throw corrupt(`entry ${this.#count} does not begin at ${this.#end}`);
    if (typeof o !== 'string') throw corrupt(`entry ${this.#count} names no object`);
    if (o !== this.#lastText) {
      this.#lastId = objectId(o);
      this.#lastText = o;
    }
    this.#end += lengthBytes;
    if (!Number.isSafeInteger(this.#end)) throw corrupt('longer than 2^53 bytes');
    this.#count += 1;
    return { offset, lengthBytes, objectId: this.#lastId };
  }
}

interface RawEntry {
  readonly s?: unknown;
  readonly l?: unknown;
  readonly o?: unknown;
}

const quote = 0x22;
const comma = 0x2c;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** A member by its name in any case; the exact name goes before others. */
function field(object: object, name: string): unknown {
  if (Object.hasOwn(object, name)) return (object as Readonly<Record<string, unknown>>)[name];
  return Object.entries(object).findLast(([key]) => key.toLowerCase() === name)?.[1];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RepositoryError('corrupt', 'list of chunks: malformed JSON', { cause });
  }
}

function corrupt(what: string): RepositoryError {
  return new RepositoryError('corrupt', `list of chunks: ${what}`);
}
