/**
 * Errors across threads. Structured clone keeps neither the class nor `code` of an error, and callers branch on
 * `code`: so an error travels as plain data and arrives as a DrayError with the same code, message and cause chain.
 */
import { DrayError } from './dray-error.ts';

export interface TransferredError {
  readonly name: string;
  readonly code: string | undefined;
  readonly message: string;
  readonly stack: string | undefined;
  readonly cause: TransferredError | undefined;
}

const depthMax = 8;

export function packError(error: unknown, depth = 0): TransferredError {
  if (!(error instanceof Error)) {
    return { name: 'Error', code: undefined, message: String(error), stack: undefined, cause: undefined };
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const cause = error.cause === undefined || depth >= depthMax ? undefined : packError(error.cause, depth + 1);
  return { name: error.name, code, message: error.message, stack: error.stack, cause };
}

export function unpackError(packed: TransferredError): Error {
  const options = packed.cause === undefined ? undefined : { cause: unpackError(packed.cause) };
  const error =
    packed.code === undefined
      ? new Error(packed.message, options)
      : new DrayError(packed.code, packed.message, options);
  error.name = packed.name;
  if (packed.stack !== undefined) error.stack = packed.stack;
  return error;
}
