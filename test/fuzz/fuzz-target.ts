/** One decoder under test, with inputs that it must take. */
export interface FuzzTarget {
  readonly name: string;
  /** What mutations start from; each is taken as it is. */
  readonly valid: readonly Uint8Array[];
  /** Throws a DrayError, or returns, whatever it is given. What it makes lazily must be made here. */
  readonly decode: (bytes: Uint8Array) => unknown;
  /** Makes checksums right again after a mutation, so that what stands behind them is reached. */
  readonly repair?: (bytes: Buffer) => void;
}

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
