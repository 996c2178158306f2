/** Telling damaged data from a store that does not answer, and from what this version cannot read. */
import { messageChain, rootCause } from '../std/causes.ts';
import { hasCode, type DrayError } from '../std/dray-error.ts';

const damageCodes = ['corrupt', 'content-missing', 'blob-not-found', 'blob-range', 'unsupported'];

/** Whether the data is to blame. */
export function isDamage(error: unknown): boolean {
  return damageCodes.some((code) => hasCode(error, code));
}

/** The reason, if the data is to blame; anything else is thrown on. */
export function damageOf(error: unknown): string {
  if (!isDamage(error)) throw error;
  return messageChain(error as DrayError);
}

/** What it is that this version does not support, such as `compression lz4`; undefined for every other error. */
export function unsupportedOf(error: unknown): string | undefined {
  if (!hasCode(error, 'unsupported')) return undefined;
  const { message } = rootCause(error);
  // Without the name of the content: what is the same is counted together.
  return settings.exec(message)?.[0] ?? message;
}

const settings = /(compression \S+|encryption key \d+|object-level compression)$/;
