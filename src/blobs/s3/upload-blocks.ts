/**
 * What an upload holds, in blocks of one size that are used again and again: a pack's 20 MiB in fresh memory cost the kernel and
 * the collector about as much time as copying them, and memory of many sizes does not fit what comes next. A store keeps as much
 * as a few packs are long, and only what uploads have given back.
 */

/** Also what goes to the socket at once. */
export const blockBytes: number = 256 * 1024;
/** Kept free at most: three packs, of which one fills while two travel. */
const keptMax = (72 * 1024 * 1024) / blockBytes;

export class BlockPool {
  readonly #free: Uint8Array[] = [];

  /** The caller's until it is given back. */
  take(): Uint8Array {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(blockBytes);
  }

  /** Blocks that nothing will look at again. */
  giveBack(blocks: readonly Uint8Array[]): void {
    this.#free.push(...blocks.slice(0, keptMax - this.#free.length));
  }
}

/** A stretch of bytes in blocks, all but the last of them full. */
export class HeldBytes {
  readonly #pool: BlockPool;
  #blocks: Uint8Array[] = [];
  #lengthBytes = 0;

  constructor(pool: BlockPool) {
    this.#pool = pool;
  }

  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** Appends a copy. */
  append(piece: Uint8Array): void {
    for (let at = 0; at < piece.length;) {
      const filled = this.#lengthBytes % blockBytes;
      if (filled === 0) this.#blocks.push(this.#pool.take());
      const taken = piece.subarray(at, at + blockBytes - filled);
      this.#blocks.at(-1)!.set(taken, filled);
      this.#lengthBytes += taken.length;
      at += taken.length;
    }
  }

  /** The first so many bytes, or all there are; held until they are dropped. */
  first(bytes: number): readonly Uint8Array[] {
    const wanted = Math.min(bytes, this.#lengthBytes);
    const blocks = this.#blocks.slice(0, Math.ceil(wanted / blockBytes));
    return blocks.map((block, n) => block.subarray(0, Math.min(blockBytes, wanted - n * blockBytes)));
  }

  /** Lets go of the first so many bytes, whole blocks of them, or of all there are. */
  drop(bytes: number): void {
    const dropped = Math.min(bytes, this.#lengthBytes);
    const blocks = Math.ceil(dropped / blockBytes);
    this.#pool.giveBack(this.#blocks.slice(0, blocks));
    this.#blocks = this.#blocks.slice(blocks);
    this.#lengthBytes -= dropped;
  }
}
