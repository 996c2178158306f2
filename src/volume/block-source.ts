/** Bytes to read: an image file, a block device or a server's export, opened once and immutable in size while open. */
import { DrayError } from '../std/dray-error.ts';
import type { Extent } from './extent.ts';

/**
 * - `volume-not-found`, `volume-denied`, `volume-kind` (neither file nor block device), `volume-range` (past the end),
 *   `volume-changed` (shrank, vanished or was written while in use), `volume-busy` (mounted or in use),
 *   `volume-too-small` (target), `volume-exists` (target), `volume-no-space`, `volume-read-only`, `volume-io`.
 */
export class VolumeError extends DrayError<
  | 'volume-not-found'
  | 'volume-denied'
  | 'volume-kind'
  | 'volume-range'
  | 'volume-changed'
  | 'volume-busy'
  | 'volume-too-small'
  | 'volume-exists'
  | 'volume-no-space'
  | 'volume-read-only'
  | 'volume-io'
> {}

/** What tells one state of a source from another; equal fingerprints of regular files mean "nothing was written". */
export interface SourceIdentity {
  readonly kind: SourceLocation['kind'];
  readonly sizeBytes: number;
  /**
   * Regular file: device, inode, size, mtime and ctime in nanoseconds, as one stable string. Block device: absent,
   * because writing through a mounted filesystem does not touch the device node's times. Export of a server: absent.
   */
  readonly fingerprint?: string | undefined;
}

/** How a worker opens the same source again: structured-clonable. */
export type SourceLocation = FileLocation | NbdLocation;

export interface FileLocation {
  readonly path: string;
  readonly kind: 'file' | 'device';
  readonly sizeBytes: number;
  /** What the page cache does not hold is read past it. Falls back to buffered reads on EINVAL. */
  readonly pastCache: boolean;
}

/** An export of an NBD server. */
export interface NbdLocation {
  readonly kind: 'nbd';
  /** Its address, for messages and names. */
  readonly path: string;
  /** Its address as the user wrote it, with how it is to be trusted. */
  readonly url: string;
  readonly sizeBytes: number;
  /** Whether each thread may have a connection of its own. */
  readonly multiConn: boolean;
  /** The channel by which threads read through the connection of whoever opened the export. */
  readonly relay: string;
}

export interface BlockSource extends AsyncDisposable {
  readonly location: SourceLocation;
  readonly sizeBytes: number;

  /**
   * Fills `into` (exactly the extent's length, or the extent's length at its start) and resolves when all bytes are
   * there; holes read as zeros. Calls may overlap and finish in any order. `into` belongs to the call until the
   * promise settles, also after an abort.
   * @throws {VolumeError} `volume-range` past the end; `volume-changed` when the source got shorter; `volume-io`.
   */
  read(range: Extent, into: Uint8Array, options: { readonly signal: AbortSignal }): Promise<void>;

  /**
   * As `read`, but at once: true when it took no waiting because the page cache has all of it, else false, and rubbish
   * in `into`. Always false where the file system cannot tell.
   */
  readCached(range: Extent, into: Uint8Array): boolean;

  /** The parts of `within` that may hold data; all else certainly reads as zeros. Sorted, within bounds, not merged past `within`. */
  dataExtents(within: Extent, options: { readonly signal: AbortSignal }): AsyncIterable<Extent>;

  /** The identity as it is now, for the comparison at the end of a run. @throws {VolumeError} `volume-changed` when it vanished */
  identity(options: { readonly signal: AbortSignal }): Promise<SourceIdentity>;
}
