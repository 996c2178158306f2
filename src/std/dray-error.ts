/**
 * The root of every operating failure. One subclass per folder closes the set of codes; callers branch on `code`
 * and never on text. A message says what was attempted and on what; the cause is kept and printed as a chain.
 * Broken invariants are not DrayErrors: they are `assert` failures and end the process.
 */
export class DrayError<Code extends string = string> extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** True for a DrayError anywhere in the hierarchy that carries this code. */
export function hasCode(error: unknown, code: string): error is DrayError {
  return error instanceof DrayError && error.code === code;
}
