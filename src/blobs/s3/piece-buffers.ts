/**
 * Memory for pieces of uploads, used again and again: a pack's 20 MiB in fresh buffers cost the kernel and the collector about
 * as much time as copying them. A store keeps as much as a few packs are long, and only what uploads have given back.
 */

/** Kept free at most: three packs, of which one fills while two travel. */
const keptBytesMax = 72 * 1024 * 1024;

const roomBytesMin = 4 * 1024;

export class PieceBuffers {
  readonly #free: Uint8Array[] = [];
  #freeBytes = 0;

  /** A copy of `piece`, the caller's until it is given back. */
  copyOf(piece: Uint8Array): Uint8Array {
    // Of few sizes, so that what one pack gives back fits the next one's pieces.
    const roomBytes = Math.max(roomBytesMin, 2 ** Math.ceil(Math.log2(piece.length)));
    const at = this.#free.findLastIndex(({ length }) => length === roomBytes);
    const [found] = at < 0 ? [] : this.#free.splice(at, 1);
    this.#freeBytes -= found?.length ?? 0;
    const copy = (found ?? Buffer.allocUnsafeSlow(roomBytes)).subarray(0, piece.length);
    copy.set(piece);
    return copy;
  }

  /** Of copies that nothing will look at again. */
  giveBack(copies: readonly Uint8Array[]): void {
    for (const { buffer } of copies) {
      if (this.#freeBytes + buffer.byteLength > keptBytesMax) return;
      this.#free.push(new Uint8Array(buffer));
      this.#freeBytes += buffer.byteLength;
    }
  }
}
