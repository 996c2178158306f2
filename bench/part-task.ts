export const chunkBytes: number = 1024 * 1024;
export const pieceBytes: number = 4 * chunkBytes;
export const packBytes: number = 20 * chunkBytes;
/** One period of the image: a part that works in memory meets the same mix. */
export const sampleBytes: number = 32 * chunkBytes;

export type PartName =
  | 'read'
  | 'read-hash'
  | 'store'
  | 'write-packs'
  | 'read-packs'
  | 'open'
  | 'write-image'
  | 'write-device';

/** One thread's share of a part. `load` fills its memory with the beginning of the image. */
export interface PartTask {
  readonly part: PartName | 'load';
  /** The image to read, or the file or device to write to. */
  readonly image: string;
  /** The packs to read. */
  readonly files: readonly string[];
  /** Where files are made. */
  readonly folder: string;
  readonly offset: number;
  readonly lengthBytes: number;
}
