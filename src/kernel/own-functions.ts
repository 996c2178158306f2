/**
 * Functions that Node's own executable exports (OpenSSL, zstd). They are no promise of Node's, so whoever wants them can do
 * the same work without.
 */
import { createRequire } from 'node:module';
import type koffi from 'koffi';

/** Of Node's executable; its declarations in C must be those of the types, which nobody can check. */
export type Declare<Functions> = (
  self: ReturnType<typeof koffi.load>,
  ffi: typeof koffi,
) => Readonly<Record<keyof Functions, unknown>>;

/** The answer is undefined where one of them, or the addon that calls them, is missing. They are looked up once, when first asked for. */
export function ownFunctions<Functions extends object>(declare: Declare<Functions>): () => Functions | undefined {
  let found: { readonly functions: Functions | undefined } | undefined;
  return () => (found ??= { functions: lookUp(declare) }).functions;
}

function lookUp<Functions>(declare: Declare<Functions>): Functions | undefined {
  try {
    const ffi = createRequire(import.meta.url)('koffi') as typeof koffi;
    return declare(ffi.load(null), ffi) as Functions;
  } catch {
    return undefined;
  }
}
