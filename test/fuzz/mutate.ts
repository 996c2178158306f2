/** Inputs from a seed: mutated valid ones for the most part, and bytes that mean nothing. The same seed gives the same input. */
import { mutatedJson } from './mutate-json.ts';
import { type Rng, seededRng } from '../../src/std/rng.ts';

/** What decoders stumble over: ends of ranges, and the words of text formats. */
const words: readonly string[] = [
  '"',
  '{',
  '}',
  '[',
  ']',
  ':',
  ',',
  '\\',
  '\0',
  '%',
  '<',
  '>',
  '&',
  '/',
  '../',
  '-',
  '+',
  '.',
  '0',
  'null',
  'true',
  '-1',
  '1e999',
  '1e-999',
  '-0',
  '9007199254740993',
  '18446744073709551616',
  '99999999999999999999999999',
  '0x10',
  'NaN',
  '__proto__',
  'constructor',
  '\\u0000',
  '\\ud800',
  '\u{1f600}',
  '&#0;',
  '&#x110000;',
  '<!DOCTYPE a>',
  '0001-01-01T00:00:00Z',
  '['.repeat(300),
  '{"a":'.repeat(300),
  'a'.repeat(1000),
  '9'.repeat(400),
  '<a>'.repeat(20),
];
const tokens: readonly Buffer[] = words.map((word) => Buffer.from(word));
const numbers: readonly number[] = [
  0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff,
];
const randomBytesMax = 600;
const inputBytesMax = 256 * 1024;

/** The valid inputs first, as they are. */
export function fuzzInput(
  { valid, repair }: { readonly valid: readonly Uint8Array[]; readonly repair?: (bytes: Buffer) => void },
  { seed, nth }: { readonly seed: number; readonly nth: number },
): Buffer {
  const plain = valid[nth];
  if (plain !== undefined) return Buffer.from(plain);
  const rng = seededRng((Math.imul(seed, 0x9e3779b1) ^ Math.imul(nth + 1, 0x85ebca6b)) >>> 0);
  if (valid.length === 0 || below(rng, 8) === 0) return Buffer.from(rng.bytes(below(rng, randomBytesMax)));
  let bytes: Buffer = Buffer.from(pick(rng, valid));
  const wellFormed = below(rng, 2) === 0 ? mutatedJson(rng, bytes) : undefined;
  if (wellFormed !== undefined) return wellFormed;
  for (let times = 1 + below(rng, 2 ** below(rng, 5)); times > 0; times -= 1) bytes = mutated(rng, bytes, valid);
  bytes = bytes.subarray(0, inputBytesMax);
  if (below(rng, 4) > 0) repair?.(bytes);
  return bytes;
}

function mutated(rng: Rng, bytes: Buffer, valid: readonly Uint8Array[]): Buffer {
  const at = below(rng, bytes.length + 1);
  const length = below(rng, Math.min(bytes.length - at, 2 ** below(rng, 12)) + 1);
  const cut = bytes.subarray(at, at + length);
  switch (below(rng, 9)) {
    case 0:
      return replaced(bytes, at, 1, Buffer.of((bytes[at] ?? 0) ^ (1 << below(rng, 8))));
    case 1:
      return replaced(bytes, at, length, Buffer.alloc(0));
    case 2:
      return replaced(bytes, at, 0, cut);
    case 3:
      return replaced(bytes, at, below(rng, 3), pick(rng, tokens));
    case 4:
      return replaced(bytes, at, length, Buffer.from(rng.bytes(Math.min(length, 64))));
    case 5:
      return bytes.subarray(0, at);
    case 6: {
      const other = Buffer.from(pick(rng, valid));
      return Buffer.concat([bytes.subarray(0, at), other.subarray(below(rng, other.length + 1))]);
    }
    case 7:
      return replaced(bytes, at, length, Buffer.alloc(length, pick(rng, [0, 0x20, 0x22, 0x7f, 0xff])));
    default:
      return withNumber(rng, bytes, at);
  }
}

/** One, two, four or eight bytes, either end first. */
function withNumber(rng: Rng, bytes: Buffer, at: number): Buffer {
  const width = pick(rng, [1, 2, 4, 8]);
  const value = BigInt.asUintN(width * 8, BigInt(pick(rng, numbers)));
  const number = Buffer.from(value.toString(16).padStart(width * 2, '0'), 'hex');
  if (below(rng, 2) === 0) number.reverse();
  return replaced(bytes, at, width, number);
}

function replaced(bytes: Buffer, at: number, length: number, by: Buffer): Buffer {
  return Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(at + length)]);
}

function pick<Item>(rng: Rng, items: readonly Item[]): Item {
  return items[below(rng, items.length)]!;
}

function below(rng: Rng, limit: number): number {
  return Math.floor(rng.uniform() * limit);
}
