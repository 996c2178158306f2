/**
 * Objects as Go's `encoding/json` sees them: keys are matched without regard to case, a later key overrides an earlier
 * one, and `null` leaves a member at its zero value. Schemas are written with lower-case keys and read what this returns.
 */
import { isJsonObject, type JsonValue } from '../../std/lossless-json.ts';

/** The value with all keys of all objects in lower case and without members that are null. */
export function foldJson(value: JsonValue): unknown {
  if (Array.isArray(value)) return value.map((item: JsonValue) => foldJson(item));
  if (!isJsonObject(value)) return value;
  const folded: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [key, member] of Object.entries(value)) {
    if (member !== null) folded[key.toLowerCase()] = foldJson(member);
  }
  return folded;
}
