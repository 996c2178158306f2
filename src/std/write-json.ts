/** Writing what `lossless-json.ts` reads: numbers come out as they came in. */
import { depthMax, JsonError, JsonNumber, type JsonValue } from './lossless-json.ts';

/**
 * Compact, or with `indent` spaces per level. Members and array elements that are undefined are rejected.
 * @throws {JsonError} for NaN, infinities, and nesting deeper than 200.
 */
export function stringifyJson(value: JsonValue, options: { readonly indent?: number } = {}): string {
  return stringify(value, options.indent ?? 0, 0);
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function stringify(value: JsonValue, indent: number, depth: number): string {
  if (depth > depthMax) throw new JsonError('json', 'cannot write JSON: nested too deeply');
  if (value instanceof JsonNumber) return value.literal;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new JsonError('json', `cannot write ${value} as JSON`);
  if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean' || value === null) {
    return JSON.stringify(value);
  }
  const parts: string[] = [];
  if (isArray(value)) {
    for (const item of value) parts.push(stringify(item, indent, depth + 1));
    return bracket(parts, { open: '[', close: ']', indent, depth });
  }
  const colon = indent > 0 ? ': ' : ':';
  for (const [key, item] of Object.entries<JsonValue | undefined>(value)) {
    if (item === undefined) throw new JsonError('json', `cannot write JSON: ${JSON.stringify(key)} is undefined`);
    parts.push(JSON.stringify(key) + colon + stringify(item, indent, depth + 1));
  }
  return bracket(parts, { open: '{', close: '}', indent, depth });
}

interface Bracket {
  readonly open: string;
  readonly close: string;
  readonly indent: number;
  readonly depth: number;
}

function bracket(parts: readonly string[], { open, close, indent, depth }: Bracket): string {
  if (indent === 0 || parts.length === 0) return open + parts.join(',') + close;
  const inner = '\n' + ' '.repeat(indent * (depth + 1));
  return open + inner + parts.join(',' + inner) + '\n' + ' '.repeat(indent * depth) + close;
}
