/** Reading JSON as Go's decoder does: names in any case, `null` as if the member were not there. */
import * as v from 'valibot';

import { parseGoTime } from '../../std/go-time.ts';
import type { Nanoseconds } from '../../std/go-time.ts';
import { JsonError, parseJson } from '../../std/lossless-json.ts';
import { anyObject, checkSchema, integer } from '../../std/schema.ts';
import { stringifyJson } from '../../std/write-json.ts';
import type { JsonValue } from '../../std/lossless-json.ts';
import { RepositoryError } from '../repository-error.ts';

/** A member by its exact name, else by its name in any case, the last one. */
export function jsonField<Value>(object: { readonly [name: string]: Value }, name: string): Value | undefined {
  if (name in object) return object[name];
  const folded = name.toLowerCase();
  return Object.entries(object).findLast(([key]) => key.toLowerCase() === folded)?.[1];
}

/** A schema for an object with these members; others are ignored. */
export function goObject<Entries extends v.ObjectEntries>(
  entries: Entries,
): v.GenericSchema<unknown, v.InferOutput<v.ObjectSchema<Entries, undefined>>> {
  const names = Object.keys(entries);
  const members = (value: { readonly [name: string]: unknown }): Record<string, unknown> => {
    const found: Record<string, unknown> = {};
    for (const name of names) {
      const member = jsonField(value, name);
      if (member !== undefined && member !== null) found[name] = member;
    }
    return found;
  };
  return v.pipe(anyObject, v.transform(members), v.object(entries));
}

/** An integer that a double holds; Go's int64 is wider, but no size or count that we understand is. */
export const goInteger: v.OptionalSchema<v.GenericSchema<number>, 0> = v.optional(integer, 0);

export const goString: v.OptionalSchema<v.GenericSchema<string>, ''> = v.optional(v.string(), '');

export const goBoolean: v.OptionalSchema<v.GenericSchema<boolean>, false> = v.optional(v.boolean(), false);

export const goTime: v.GenericSchema<string, Nanoseconds> = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const time = parseGoTime(dataset.value);
    if (time !== undefined) return time;
    addIssue({ message: 'not a time' });
    return NEVER;
  }),
);

/** Where a member that is not there means 1970. */
export const goTimeOrEpoch: v.OptionalSchema<typeof goTime, string> = v.optional(goTime, '1970-01-01T00:00:00Z');

/** Parses JSON text and checks it. @throws {RepositoryError} `corrupt`, naming `what` */
export function decodeJson<T>(schema: v.GenericSchema<unknown, T>, text: string, what: string): T {
  let value: JsonValue;
  try {
    value = parseJson(text);
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new RepositoryError('corrupt', `${what}: malformed JSON`, { cause });
  }
  return checkJson(schema, value, what);
}

/** @throws {RepositoryError} `corrupt`, naming `what` */
export function checkJson<T>(schema: v.GenericSchema<unknown, T>, value: JsonValue, what: string): T {
  const checked = checkSchema(schema, value);
  if (checked.wrong !== undefined) throw new RepositoryError('corrupt', `${what}: malformed: ${checked.wrong}`);
  return checked.value;
}

/** JSON exactly as Go's encoder prints it, `<`, `>`, `&` and the line separators escaped, with its newline. */
export function goJson(value: JsonValue): string {
  const escaped = stringifyJson(value).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${escaped}\n`;
}
