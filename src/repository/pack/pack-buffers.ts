/** The few aligned buffers that a pack writer fills and sends on, which are all the memory that its packs take. */
import assert from 'node:assert/strict';

import { alignedBuffer, AlignedMemory, directAlignmentBytes } from '../../kernel/aligned-memory.ts';

export interface PackBuffersOptions {
  /** A multiple of the alignment. */
  readonly bufferBytes: number;
  /** At least two: one fills while another travels. */
  readonly buffers: number;
}

export class PackBuffers {
  readonly #bufferBytes: number;
  readonly #free: Uint8Array[];
  readonly #waiting: ((buffer: Uint8Array) => void)[] = [];

  constructor({ bufferBytes, buffers }: PackBuffersOptions) {
    assert(bufferBytes % directAlignmentBytes === 0 && buffers >= 2);
    this.#bufferBytes = bufferBytes;
    const memory = AlignedMemory.allocate({ slotBytes: bufferBytes, slots: buffers });
    this.#free = Array.from({ length: buffers }, (_, slot) => memory.slot(slot));
  }

  /**
   * A buffer, when one is free; for contents larger than that (a compacted manifest batch) one of their own, which is not
   * kept.
   */
  async take(bytes: number): Promise<Uint8Array> {
    if (bytes > this.#bufferBytes) return alignedBuffer(bytes);
    return this.#free.pop() ?? (await new Promise<Uint8Array>((resolve) => this.#waiting.push(resolve)));
  }

  give(buffer: Uint8Array): void {
    if (buffer.length !== this.#bufferBytes) return;
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#free.push(buffer);
    else waiter(buffer);
  }
}
