/** Bytes to write: a sparse image file or a block device. Everything written is durable only after `flush`. */
import type { Extent } from './extent.ts';

/** How a worker opens the same target again: structured-clonable. */
export interface TargetLocation {
  readonly path: string;
  readonly kind: 'file' | 'device';
  readonly sizeBytes: number;
  /** True when the target's unwritten parts are known to read as zeros (a new sparse file). */
  readonly zeroed: boolean;
}

export interface BlockTarget extends AsyncDisposable {
  readonly location: TargetLocation;

  /**
   * Writes the whole of `bytes` at `range.offset` (same length). Aligned memory and extents go past the page cache
   * where the target can. Calls on disjoint extents may overlap. `bytes` belongs to the call until the promise settles.
   * @throws {VolumeError} `volume-no-space`, `volume-range`, `volume-io`
   */
  write(range: Extent, bytes: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;

  /** Makes the range read as zeros in the cheapest way the target has (hole, BLKZEROOUT, written zeros). */
  zero(range: Extent, options: { readonly signal: AbortSignal }): Promise<void>;

  /** Reads back what the target holds, for `--delta` and for resuming. */
  read(range: Extent, into: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;

  /** Resolves when everything written before the call is on stable storage. */
  flush(options: { readonly signal: AbortSignal }): Promise<void>;
}
