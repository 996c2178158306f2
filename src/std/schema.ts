/**
 * What the schemas at the edges have in common: parts that valibot lacks, and how a failed check is told. Only the first
 * thing that is wrong is looked for. Text of the checked value never gets into a message: it may be a key, or endless.
 */
import * as v from 'valibot';

import { DrayError } from './dray-error.ts';
import { isJsonObject, JsonNumber } from './lossless-json.ts';

/** The value is not what the schema asks for. The message says where and why. */
export class SchemaError extends DrayError<'schema'> {}

/** The value as the schema makes it; or what is wrong, such as `extents.0.length: expected >=0, got -1`. */
export type Checked<T> =
  | { readonly value: T; readonly wrong?: undefined }
  | { readonly value?: undefined; readonly wrong: string };

export function checkSchema<T>(schema: v.GenericSchema<unknown, T>, value: unknown): Checked<T> {
  const result = v.safeParse(schema, value, { abortEarly: true, message: describe });
  if (result.success) return { value: result.output };
  const [issue] = result.issues;
  const place = v.getDotPath(issue);
  return { wrong: place === null ? issue.message : `${place}: ${issue.message}` };
}

/** @throws {SchemaError} `schema` */
export function parseSchema<T>(schema: v.GenericSchema<unknown, T>, value: unknown): T {
  const checked = checkSchema(schema, value);
  if (checked.wrong !== undefined) throw new SchemaError('schema', checked.wrong);
  return checked.value;
}

/** An integer that a double holds exactly. */
export const integer: v.GenericSchema<number> = v.pipe(v.number(noInteger), v.safeInteger(noInteger));

/** 0 or more, else as `integer`. */
export const natural: v.GenericSchema<number> = v.pipe(integer, v.minValue(0));

interface Members {
  readonly [key: string]: unknown;
}

/** An object, whatever is in it. `v.object` takes an array for an object without members. */
export const anyObject: v.GenericSchema<Members> = v.custom<Members>(
  isJsonObject,
  ({ input }) => `expected object, got ${kindOf(input)}`,
);

/** An object with these members; others are left out. */
export function plainObject<Entries extends v.ObjectEntries>(
  entries: Entries,
): v.GenericSchema<unknown, v.InferOutput<v.ObjectSchema<Entries, undefined>>> {
  return v.pipe(anyObject, v.object(entries));
}

/** For checks that bring no words of their own. */
function describe({ type, expected, input, received }: v.BaseIssue<unknown>): string {
  if (input === undefined) return 'missing';
  if (expected === null) return `malformed, got ${kindOf(input)}`;
  if (type.endsWith('_length')) return `expected a length ${expected}, got ${received}`;
  return `expected ${expected}, got ${kindOf(input)}`;
}

function noInteger({ input }: v.BaseIssue<unknown>): string {
  return `expected integer below 2^53, got ${kindOf(input)}`;
}

/** What may be shown of a value. */
function kindOf(value: unknown): string {
  if (value === null || typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') {
    return String(value);
  }
  if (value instanceof JsonNumber) return value.literal;
  return Array.isArray(value) ? 'array' : typeof value;
}
