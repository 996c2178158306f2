/**
 * Where files are cut into chunks (Kopia `repo/splitter`): after a fixed length, or where a rolling hash of the last 64 bytes has its low bits
 * 0, so that what was moved is found again. Equal bytes are cut as Kopia cuts them, whatever pieces they come in. Volumes are
 * cut at each MiB instead.
 */
import { fixedSplitterSizeBytes, dynamicSplitter } from '../format/splitter-name.ts';
import { RepositoryError } from '../repository-error.ts';
import { buzhash } from './buzhash.ts';
import { rabinKarp } from './rabin-karp.ts';
import { blockBytesMax, compileKernel, type KernelModule, RollingKernel, windowBytes } from './rolling-kernel.ts';

/** One object's bytes, from its beginning; `reset` before the next object. Belongs to one thread; makes no buffers. */
export interface Splitter {
  /**
   * Looks at `bytes` from `start` on, which follow what was looked at before.
   * @returns where the present chunk ends in `bytes`, above `start`: go on from there; undefined when it does not end in them
   */
  next(bytes: Uint8Array, start: number): number | undefined;
  reset(): void;
}

/** @throws {RepositoryError} `unsupported` for a name that Kopia does not know */
export function splitterOf(name: string): Splitter {
  const fixedBytes = fixedSplitterSizeBytes(name);
  if (fixedBytes !== undefined) return new FixedSplitter(fixedBytes);
  const dynamic = dynamicSplitter(name);
  if (dynamic === undefined) throw new RepositoryError('unsupported', `splitter ${JSON.stringify(name.slice(0, 64))}`);
  return new DynamicSplitter(dynamic.family, dynamic.averageBytes);
}

class FixedSplitter implements Splitter {
  readonly #sizeBytes: number;
  #lengthBytes = 0;

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  next(bytes: Uint8Array, start: number): number | undefined {
    const end = start + this.#sizeBytes - this.#lengthBytes;
    if (end > bytes.length) {
      this.#lengthBytes += bytes.length - start;
      return undefined;
    }
    this.#lengthBytes = 0;
    return end;
  }

  reset(): void {
    this.#lengthBytes = 0;
  }
}

export type HashFamily = 'BUZHASH' | 'RABINKARP';
const hashes = { BUZHASH: buzhash, RABINKARP: rabinKarp } as const;
const modules: Partial<Record<HashFamily, KernelModule>> = {};

/** A chunk has from half the average to twice that; the average is a power of two above 128. */
export class DynamicSplitter implements Splitter {
  readonly #kernel: RollingKernel;
  readonly #minBytes: number;
  readonly #maxBytes: number;
  /** Of the present chunk. */
  #lengthBytes = 0;

  constructor(family: HashFamily, averageBytes: number) {
    const module = (modules[family] ??= compileKernel(hashes[family]));
    this.#kernel = new RollingKernel(module, hashes[family], averageBytes - 1);
    this.#minBytes = averageBytes / 2;
    this.#maxBytes = averageBytes * 2;
  }

  next(bytes: Uint8Array, start: number): number | undefined {
    // No chunk ends before the shortest one does, and only the last 64 bytes count: those before are not even looked at.
    let at = start + Math.max(0, Math.min(this.#minBytes - windowBytes - this.#lengthBytes, bytes.length - start));
    this.#lengthBytes += at - start;
    while (at < bytes.length) {
      const isShort = this.#lengthBytes < this.#minBytes - 1;
      const limitBytes = (isShort ? this.#minBytes - 1 : this.#maxBytes) - this.#lengthBytes;
      const end = at + Math.min(limitBytes, bytes.length - at, blockBytesMax);
      const found = isShort ? 0 : this.#kernel.scan(bytes, at, end);
      if (isShort) this.#kernel.roll(bytes, at, end);
      this.#lengthBytes += end - at;
      if (found > 0 || this.#lengthBytes === this.#maxBytes) {
        this.reset();
        return found > 0 ? at + found : end;
      }
      at = end;
    }
    return undefined;
  }

  reset(): void {
    this.#lengthBytes = 0;
    this.#kernel.reset();
  }
}
