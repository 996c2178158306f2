/**
 * JSON that comes back as it went in. `JSON.parse` turns 9223372036854775807 into 9223372036854776000, which Go then
 * refuses to decode, and it lets a key `__proto__` look like a prototype. Here integers past 2^53 become `bigint`,
 * any other literal that a double would not print again is kept as text (`JsonNumber`), and objects have no
 * prototype. Depth is bounded, so that hostile text cannot exhaust the stack. Duplicate keys: the last one wins, as in Go.
 */
import { DrayError } from './dray-error.ts';

/** The text is no JSON, is nested deeper than `depthMax`, or the value cannot be written as JSON. */
export class JsonError extends DrayError<'json'> {}

/** A number literal whose exact text matters, such as `1.10` or `1e400`. */
export class JsonNumber {
  readonly literal: string;

  constructor(literal: string) {
    this.literal = literal;
  }
}

/** An object without prototype: `__proto__` and `constructor` are ordinary keys. */
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

export type JsonValue = null | boolean | number | bigint | string | JsonNumber | readonly JsonValue[] | JsonObject;

/** Of what is read, and of what is written. */
export const depthMax = 200;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof JsonNumber);
}

/** An empty object without prototype. */
export function bareObject<Value>(): Record<string, Value> {
  return Object.create(null) as Record<string, Value>;
}

/** An object without prototype that holds the given members; members that are undefined are left out. */
export function jsonObject(members: { readonly [key: string]: JsonValue | undefined }): JsonObject {
  const result = bareObject<JsonValue>();
  for (const [key, value] of Object.entries(members)) if (value !== undefined) result[key] = value;
  return result;
}

/** Parses exactly one JSON value surrounded by optional whitespace. @throws {JsonError} */
export function parseJson(text: string): JsonValue {
  const parser = new Parser(text);
  return parser.document();
}

const numberPattern = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
const integerPattern = /^-?[1-9][0-9]*$/;
/** A backslash, or a control character: everything before the space, which JSON forbids in strings. */
const needsDecoding = /[^ -\uffff]|\\/;
const numberLengthMax = 4_096;
const bigintLengthMax = 40;

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): JsonValue {
    const value = this.#value();
    if (this.#peek() !== undefined) throw this.#error('text after the value');
    return value;
  }

  #value(): JsonValue {
    const first = this.#peek();
    switch (first) {
      case '{':
        return this.#nested(() => this.#object());
      case '[':
        return this.#nested(() => this.#array());
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      case undefined:
        throw this.#error('unexpected end');
    }
    return this.#number();
  }

  #nested<T>(parse: () => T): T {
    this.#depth += 1;
    if (this.#depth > depthMax) throw this.#error('nested too deeply');
    this.#at += 1;
    const value = parse();
    this.#depth -= 1;
    return value;
  }

  #object(): JsonObject {
    const result = bareObject<JsonValue>();
    if (this.#take('}')) return result;
    do {
      if (this.#peek() !== '"') throw this.#error('expected a key');
      const key = this.#string();
      if (!this.#take(':')) throw this.#error('expected ":"');
      result[key] = this.#value();
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#error('expected "," or "}"');
    return result;
  }

  #array(): readonly JsonValue[] {
    const result: JsonValue[] = [];
    if (this.#take(']')) return result;
    do result.push(this.#value());
    while (this.#take(','));
    if (!this.#take(']')) throw this.#error('expected "," or "]"');
    return result;
  }

  #string(): string {
    const start = this.#at;
    let end = this.#text.indexOf('"', start + 1);
    const plain = end < 0 ? '' : this.#text.slice(start + 1, end);
    if (end >= 0 && !needsDecoding.test(plain)) {
      this.#at = end + 1;
      return plain;
    }
    // Not a regular expression: one with an alternative per character overflows the stack on long strings.
    while (end >= 0 && this.#isEscaped(start + 1, end)) end = this.#text.indexOf('"', end + 1);
    if (end < 0) throw this.#error('unfinished string');
    this.#at = end + 1;
    try {
      return String(JSON.parse(this.#text.slice(start, end + 1)));
    } catch (cause) {
      throw new JsonError('json', `malformed JSON at ${start}: bad string`, { cause });
    }
  }

  /** True when an odd number of backslashes stands before `at`. */
  #isEscaped(from: number, at: number): boolean {
    let first = at;
    while (first > from && this.#text.charCodeAt(first - 1) === 0x5c) first -= 1;
    return (at - first) % 2 === 1;
  }

  #number(): JsonValue {
    let end = this.#at;
    while (end - this.#at <= numberLengthMax && isNumberCharacter(this.#text.charCodeAt(end))) end += 1;
    const literal = this.#text.slice(this.#at, end);
    if (literal.length > numberLengthMax) throw this.#error('number too long');
    if (!numberPattern.test(literal)) throw this.#error('unexpected character');
    this.#at = end;
    const value = Number(literal);
    if (String(value) === literal && (Number.isSafeInteger(value) || !Number.isInteger(value))) return value;
    if (integerPattern.test(literal) && literal.length <= bigintLengthMax) return BigInt(literal);
    return new JsonNumber(literal);
  }

  #word<T extends JsonValue>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#error('unexpected character');
    this.#at += word.length;
    return value;
  }

  /** The next character that is not whitespace, not consumed. */
  #peek(): string | undefined {
    while (isSpace(this.#text.charCodeAt(this.#at))) this.#at += 1;
    return this.#text[this.#at];
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at += 1;
    return true;
  }

  #error(what: string): JsonError {
    return new JsonError('json', `malformed JSON at ${this.#at}: ${what}`);
  }
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

/** A digit or one of `+-.eE`. */
function isNumberCharacter(code: number): boolean {
  return (
    (code >= 0x30 && code <= 0x39) || code === 0x2b || code === 0x2d || code === 0x2e || code === 0x45 || code === 0x65
  );
}
