/** Reading JSON as Go's decoder does: names in any case, `null` as if the member were not there. */
import { z } from 'zod';

import { parseGoTime } from '../../std/go-time.ts';
import type { Nanoseconds } from '../../std/go-time.ts';
import { isJsonObject, JsonError, parseJson } from '../../std/lossless-json.ts';
import { stringifyJson } from '../../std/write-json.ts';
import type { JsonObject, JsonValue } from '../../std/lossless-json.ts';
import { RepositoryError } from '../repository-error.ts';

/** A member by its exact name, else by its name in any case, the last one. */
export function jsonField(object: JsonObject, name: string): JsonValue | undefined {
  if (name in object) return object[name];
  const folded = name.toLowerCase();
  return Object.entries(object).findLast(([key]) => key.toLowerCase() === folded)?.[1];
}

/** A schema for an object with these members; others are ignored. */
export function goObject<Shape extends z.core.$ZodLooseShape>(
  shape: Shape,
): z.ZodPreprocess<z.ZodObject<{ -readonly [Name in keyof Shape]: Shape[Name] }, z.core.$strip>> {
  const names = Object.keys(shape);
  const members = (value: unknown): unknown => {
    if (!isJsonObject(value)) return value;
    const found: Record<string, JsonValue> = {};
    for (const name of names) {
      const member = jsonField(value, name);
      if (member !== undefined && member !== null) found[name] = member;
    }
    return found;
  };
  return z.preprocess(members, z.object(shape));
}

/** An integer that a double holds; Go's int64 is wider, but no size or count that we understand is. */
export const goInteger: z.ZodDefault<z.ZodInt> = z.int().default(0);

export const goString: z.ZodDefault<z.ZodString> = z.string().default('');

export const goTime: z.ZodPipe<z.ZodString, z.ZodTransform<Nanoseconds, string>> = z
  .string()
  .transform((text, context) => {
    const time = parseGoTime(text);
    if (time !== undefined) return time;
    context.addIssue({ code: 'custom', message: 'not a time' });
    return z.NEVER;
  });

/** Parses JSON text and checks it. @throws {RepositoryError} `corrupt`, naming `what` */
export function decodeJson<T>(schema: z.ZodType<T>, text: string, what: string): T {
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
export function checkJson<T>(schema: z.ZodType<T>, value: JsonValue, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined ? '' : ` at ${issue.path.join('.')}: ${issue.message}`;
  throw new RepositoryError('corrupt', `${what}: malformed${place}`, { cause: result.error });
}

/** JSON exactly as Go's encoder prints it, `<`, `>`, `&` and the line separators escaped, with its newline. */
export function goJson(value: JsonValue): string {
  const escaped = stringifyJson(value).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${escaped}\n`;
}
