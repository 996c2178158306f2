/**
 * Page-aligned memory without native code. `Buffer.alloc` and `SharedArrayBuffer` begin 16 bytes past a page, which
 * O_DIRECT refuses; a `WebAssembly.Memory` begins on one, is shared by all threads without a copy, and is accepted by
 * every API on the data path (only `crypto.subtle` refuses it).
 */
import assert from 'node:assert/strict';
import { memoryAddress } from './sys.ts';

/** The part of the JavaScript API that is used here; the DOM library that declares it is not loaded. */
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number; readonly shared: true }) => {
    readonly buffer: SharedArrayBuffer;
  };
};

const wasmPageBytes = 65_536;

/** Memory addresses, file offsets and lengths that are multiples of this satisfy O_DIRECT on every device in use. */
export const directAlignmentBytes = 4096;

/** What a worker needs to see the same memory: structured-clonable. */
export interface AlignedMemoryHandle {
  readonly buffer: SharedArrayBuffer;
  readonly slotBytes: number;
  readonly slots: number;
}

/** A row of equal slots, each beginning on a page. Who may use a slot when is the caller's business. */
export class AlignedMemory {
  readonly handle: AlignedMemoryHandle;
  readonly slotBytes: number;
  readonly slots: number;

  /** Sees memory that another thread allocated. */
  constructor(handle: AlignedMemoryHandle) {
    this.handle = handle;
    this.slotBytes = handle.slotBytes;
    this.slots = handle.slots;
    alignedBuffers.set(handle.buffer, true);
  }

  /** `slotBytes` is a multiple of 4,096. At most 4 GiB in all. The memory is committed by the kernel on first touch. */
  static allocate({ slotBytes, slots }: { readonly slotBytes: number; readonly slots: number }): AlignedMemory {
    assert(slotBytes > 0 && slotBytes % directAlignmentBytes === 0, `not a slot size: ${slotBytes}`);
    assert(Number.isSafeInteger(slots) && slots > 0, `not a number of slots: ${slots}`);
    const pages = Math.ceil((slotBytes * slots) / wasmPageBytes);
    const memory = new WebAssembly.Memory({ shared: true, initial: pages, maximum: pages });
    return new AlignedMemory({ buffer: memory.buffer, slotBytes, slots });
  }

  /** A view of one slot. */
  slot(index: number): Uint8Array {
    assert(Number.isInteger(index) && index >= 0 && index < this.slots, `no slot ${index} of ${this.slots}`);
    return new Uint8Array(this.handle.buffer, index * this.slotBytes, this.slotBytes);
  }
}

/** A buffer of its own, at least so long; its length is a multiple of 4,096. */
export function alignedBuffer(lengthBytes: number): Uint8Array {
  const slotBytes = Math.ceil(lengthBytes / directAlignmentBytes) * directAlignmentBytes;
  return AlignedMemory.allocate({ slotBytes, slots: 1 }).slot(0);
}

/** Whether a buffer's own beginning is aligned, found once for each. */
const alignedBuffers = new WeakMap<ArrayBufferLike, boolean>();

/** Whether the first byte lies on a 4,096-byte address. Asks the C library once for each buffer behind the views. */
export function isDirectAligned(bytes: Uint8Array): boolean {
  if (bytes.byteOffset % directAlignmentBytes !== 0) return false;
  const known = alignedBuffers.get(bytes.buffer);
  if (known !== undefined) return known;
  // Small buffers change address when the collector moves them; none of them is worth a direct write anyway.
  const aligned =
    bytes.buffer.byteLength >= wasmPageBytes &&
    Number(memoryAddress(bytes.buffer) % BigInt(directAlignmentBytes)) === 0;
  alignedBuffers.set(bytes.buffer, aligned);
  return aligned;
}
