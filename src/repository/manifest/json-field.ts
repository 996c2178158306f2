import type { JsonObject, JsonValue } from '../../std/lossless-json.ts';

/** A member as Go's decoder finds it: by its exact name, else by its name in any case, the last one. */
export function jsonField(object: JsonObject, name: string): JsonValue | undefined {
  if (name in object) return object[name];
  const folded = name.toLowerCase();
  return Object.entries(object).findLast(([key]) => key.toLowerCase() === folded)?.[1];
}
