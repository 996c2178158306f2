/**
 * The text of an indirect object: which objects follow each other (Kopia `repo/object/indirect.go`). The encoder prints
 * what Go's prints, so that equal lists are equal contents. The decoder takes the text in arbitrary pieces, because the
 * list of a 16 TiB volume is 26 MB of it: it finds where elements end by itself and leaves their grammar to
 * `JSON.parse`. As Go does, it accepts any whitespace, order and case of fields, and ignores fields it does not know.
 */
import { JsonElements } from '../../std/json-elements.ts';
import { JsonError } from '../../std/lossless-json.ts';
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

const elementBytesMax = 16_384;
const outerBytesMax = 16_384;

/**
 * Push the pieces of the text in order, then call `end`. Entries come out as soon as they are complete, checked to be
 * contiguous from `startOffset` on. Memory: what one piece holds and 16 KiB.
 */
export class IndirectParser {
  readonly #elements = new JsonElements({ member: 'entries', elementBytesMax, outerBytesMax });
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
    return asCorrupt(() => this.#elements.push(piece)).map((item) => this.#entry(item));
  }

  /** The text is complete. @throws {RepositoryError} `corrupt`, also when the list is empty. */
  end(): void {
    const { outer, found } = asCorrupt(() => this.#elements.end());
    if (!found) throw corrupt('incomplete');
    if (typeof outer !== 'object' || outer === null) throw corrupt('not an object');
    if (field(outer, 'stream') !== 'kopia:indirect') throw corrupt('not a list of chunks');
    // Kopia's reader itself fails on an empty list.
    if (this.#count === 0) throw corrupt('no entries');
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

/** A member by its name in any case; the exact name goes before others. */
function field(object: object, name: string): unknown {
  if (Object.hasOwn(object, name)) return (object as Readonly<Record<string, unknown>>)[name];
  return Object.entries(object).findLast(([key]) => key.toLowerCase() === name)?.[1];
}

function asCorrupt<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new RepositoryError('corrupt', 'list of chunks: malformed', { cause });
  }
}

function corrupt(what: string): RepositoryError {
  return new RepositoryError('corrupt', `list of chunks: ${what}`);
}
