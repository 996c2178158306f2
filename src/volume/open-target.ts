/**
 * The part of a target that files and devices share: bounds, direct and buffered writes, flushing, and zeros written
 * where the cheaper ways are refused. What is cheaper is the difference and is passed in.
 */
import type { DirectFile } from '../kernel/direct-file.ts';
import { KernelError } from '../kernel/sys.ts';
import { VolumeError } from './block-source.ts';
import type { BlockTarget, TargetLocation } from './block-target.ts';
import { extent, extentEnd, type Extent } from './extent.ts';
import { checkRange, withVolumeErrors } from './volume-errors.ts';

/** Makes an aligned range read as zeros without moving data. @throws {KernelError} `kernel-unsupported` */
export interface Zeroer {
  /** Offsets and lengths that it takes are multiples of this. */
  readonly alignmentBytes: number;
  zero(fd: number, range: Extent): Promise<void>;
}

/** A system call that zeroes cannot be interrupted; between two of this size an abort is noticed. */
const zeroStepBytes = 1024 ** 3;
const zeroWriteBytes = 1024 ** 2;

export class OpenTarget implements BlockTarget {
  readonly location: TargetLocation;
  readonly #file: DirectFile;
  #zeroer: Zeroer | undefined;

  constructor(file: DirectFile, location: TargetLocation, zeroer: Zeroer) {
    this.#file = file;
    this.location = location;
    this.#zeroer = zeroer;
  }

  async write(range: Extent, bytes: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    checkRange(range, { ...this.location, bufferBytes: bytes.length });
    await withVolumeErrors(
      () => `write ${this.#where(range)}`,
      () => this.#file.write(bytes.subarray(0, range.lengthBytes), range.offset),
    );
  }

  async zero(range: Extent, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    checkRange(range, this.location);
    const end = extentEnd(range);
    await withVolumeErrors(
      () => `zero ${this.#where(range)}`,
      async () => {
        for (let offset: number = range.offset; offset < end;) {
          signal.throwIfAborted();
          offset += await this.#zeroStep(extent(offset, Math.min(zeroStepBytes, end - offset)), signal);
        }
      },
    );
  }

  async read(range: Extent, into: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    checkRange(range, { ...this.location, bufferBytes: into.length });
    const doing = (): string => `read back ${this.#where(range)}`;
    const count = await withVolumeErrors(doing, () =>
      this.#file.read(into.subarray(0, range.lengthBytes), range.offset),
    );
    if (count < range.lengthBytes) throw new VolumeError('volume-changed', `${doing()}: the target became shorter`);
  }

  async flush({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    signal.throwIfAborted();
    await withVolumeErrors(
      () => `flush ${this.location.path}`,
      () => this.#file.sync(),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  /** @returns the bytes dealt with, from the start of `range` */
  async #zeroStep(range: Extent, signal: AbortSignal): Promise<number> {
    const zeroer = this.#zeroer;
    const alignment = zeroer?.alignmentBytes ?? 1;
    const head = Math.min((alignment - (range.offset % alignment)) % alignment, range.lengthBytes);
    const body = range.lengthBytes - head - ((range.lengthBytes - head) % alignment);
    if (zeroer === undefined || body === 0) return await this.#writeZeros(range, signal);
    if (head > 0) return await this.#writeZeros(extent(range.offset, head), signal);
    const inner = extent(range.offset, body);
    try {
      await this.#file.use(() => zeroer.zero(this.#file.fd, inner));
      return body;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.code === 'kernel-unsupported') {
        this.#zeroer = undefined;
        return 0;
      }
      // A device that another descriptor of ours holds exclusively refuses while pages of the range are dirty.
      if (error.code === 'kernel-busy') return await this.#writeZeros(inner, signal);
      throw error;
    }
  }

  async #writeZeros(range: Extent, signal: AbortSignal): Promise<number> {
    const zeros = new Uint8Array(Math.min(zeroWriteBytes, range.lengthBytes));
    for (let done = 0; done < range.lengthBytes; done += zeros.length) {
      signal.throwIfAborted();
      await this.#file.write(zeros.subarray(0, range.lengthBytes - done), range.offset + done);
    }
    return range.lengthBytes;
  }

  #where(range: Extent): string {
    return `${range.offset}+${range.lengthBytes} of ${this.location.path}`;
  }
}
