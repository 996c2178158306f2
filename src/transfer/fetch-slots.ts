/**
 * The memory of one fetch worker: slots for what is read from packs, and for what is opened to be written. The system
 * commits a slot when it is first used, and the last one returned is the first to be used again, so that the worker
 * holds as much as it has ever needed at once.
 */
import { alignedBuffer, AlignedMemory } from '../kernel/aligned-memory.ts';
import { fetchTaskBytes } from './fetch-messages.ts';

export const slotBytes: number = fetchTaskBytes + 64 * 1024;
/** What Kopia's splitters make of 4 MiB on average is at most 8 MiB long. Larger ones are not kept. */
const largeSlotBytes = 8 * 1024 * 1024 + 128 * 1024;

/** Memory that is taken when its bytes are first asked for, and given back when it is disposed of. */
export interface Slot extends Disposable {
  readonly bytes: Uint8Array;
}

export class FetchSlots {
  readonly #slots: number;
  readonly #free: Uint8Array[];
  readonly #freeLarge: Uint8Array[] = [];

  /** @param tasks that may be under way at once; two slots each */
  constructor(tasks: number) {
    this.#slots = tasks * 2;
    const memory = AlignedMemory.allocate({ slotBytes, slots: this.#slots });
    this.#free = Array.from({ length: this.#slots }, (_, slot) => memory.slot(slot));
  }

  /**
   * A slot of this worker's memory, or, for what is larger than any chunk of ours, one that is kept for the next.
   * `phase`: how far its first byte is to lie from a page's beginning, for writing to an offset that does the same.
   */
  slot(lengthBytes: number, { phase = 0 }: { readonly phase?: number } = {}): Slot {
    const neededBytes = phase + lengthBytes;
    const take = (): Uint8Array => this.#take(neededBytes);
    let taken: Uint8Array | undefined;
    let bytes: Uint8Array | undefined;
    return {
      get bytes() {
        return (bytes ??= (taken = take()).subarray(phase));
      },
      [Symbol.dispose]: () => {
        if (taken !== undefined) this.#return(taken);
      },
    };
  }

  #take(neededBytes: number): Uint8Array {
    const free = neededBytes <= slotBytes ? this.#free : this.#freeLarge;
    const at = free.findLastIndex(({ length }) => length >= neededBytes);
    return at < 0 ? alignedBuffer(Math.max(neededBytes, largeSlotBytes)) : free.splice(at, 1)[0]!;
  }

  #return(slot: Uint8Array): void {
    if (slot.length === slotBytes) this.#free.push(slot);
    else if (slot.length === largeSlotBytes && this.#freeLarge.length < this.#slots) this.#freeLarge.push(slot);
  }
}
