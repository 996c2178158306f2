/** Telling damaged data from a store that does not answer, and from what this version cannot read. */
import { hasCode, type DrayError } from '../std/dray-error.ts';

const damageCodes = ['corrupt', 'content-missing', 'blob-not-found', 'blob-range', 'unsupported'];

/** The reason, if the data is to blame; anything else is thrown on. */
export function damageOf(error: unknown): string {
  if (!damageCodes.some((code) => hasCode(error, code))) throw error;
  return chainOf(error as DrayError);
}

/** What it is that this version does not support, such as `compression lz4`; undefined for every other error. */
export function unsupportedOf(error: unknown): string | undefined {
  if (!hasCode(error, 'unsupported')) return undefined;
  let root: Error = error;
  while (root.cause instanceof Error) root = root.cause;
  // Without the name of the content: what is the same is counted together.
  return settings.exec(root.message)?.[0] ?? root.message;
}

const settings = /(compression \S+|encryption key \d+|object-level compression)$/;

/** A message with those of its causes: the last one says what was found. */
function chainOf(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${chainOf(error.cause)}` : error.message;
}
