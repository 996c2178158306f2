/** Telling damaged data from a store that does not answer. */
import { hasCode, type DrayError } from '../std/dray-error.ts';

const damageCodes = ['corrupt', 'content-missing', 'blob-not-found', 'blob-range', 'unsupported'];

/** The reason, if the data is to blame; anything else is thrown on. */
export function damageOf(error: unknown): string {
  if (!damageCodes.some((code) => hasCode(error, code))) throw error;
  return chainOf(error as DrayError);
}

/** A message with those of its causes: the last one says what was found. */
function chainOf(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${chainOf(error.cause)}` : error.message;
}
