/**
 * The loop of a rolling hash over 64 bytes, in WebAssembly: for each byte one goes out of the window, one comes in, and the low bits of
 * the hash are looked at. A kernel is a memory and two functions over it; the hash lives in the module between calls. Compiled once for each hash,
 * by the first splitter that needs it.
 */
import { encodeModule, type Instruction, lines, op, type ValueType } from './wasm-module.ts';

/** A compiled module, from which each splitter makes an instance of its own. Node's types leave WebAssembly to those of browsers. */
export type KernelModule = object & { readonly [compiled]: true };
declare const compiled: unique symbol;
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => KernelModule;
  readonly Instance: new (module: KernelModule) => { readonly exports: KernelExports };
};

export const windowBytes = 64;
/** The last 64 bytes that were looked at lie right before the block. */
const windowAt = 4096;
const blockAt: number = windowAt + windowBytes;
/** Looked at in one call; in the cache of a core. */
export const blockBytesMax: number = 192 * 1024;
const pages = Math.ceil((blockAt + blockBytesMax) / 65_536);

export interface RollingHash {
  readonly state: ValueType;
  /** Placed at the beginning of the memory; at most 4 KiB. */
  readonly tables: Uint8Array;
  /**
   * From the state on the stack to the next state on the stack. `base` puts an address there: the byte that goes out is at it, the one
   * that comes in 64 after it. `scratch` is a local of the state's type.
   */
  readonly step: (operands: { readonly base: Instruction; readonly scratch: number }) => readonly Instruction[];
}

/** Belongs to one splitter. */
export class RollingKernel {
  readonly #memory: Uint8Array;
  readonly #exports: KernelExports;
  readonly #zero: number | bigint;
  readonly #mask: number | bigint;

  /** @param mask the bits that are 0 where a chunk may end */
  constructor(module: KernelModule, { state, tables }: RollingHash, mask: number) {
    this.#exports = new WebAssembly.Instance(module).exports;
    this.#memory = new Uint8Array(this.#exports.memory.buffer);
    this.#memory.set(tables);
    this.#zero = state === 'i32' ? 0 : 0n;
    this.#mask = state === 'i32' ? mask : BigInt(mask);
  }

  /** As before the first byte: a window of zeros, whose hash is 0. */
  reset(): void {
    this.#exports.state.value = this.#zero;
    this.#memory.fill(0, windowAt, blockAt);
  }

  /** Takes `end - start` bytes, at most `blockBytesMax`, into the hash. */
  roll(bytes: Uint8Array, start: number, end: number): void {
    this.#load(bytes, start, end);
    this.#exports.roll(windowAt, windowAt + end - start);
    this.#keepWindow(end - start);
  }

  /** As `roll`, up to the first byte after which a chunk may end. @returns how many bytes that is; 0 for none */
  scan(bytes: Uint8Array, start: number, end: number): number {
    this.#load(bytes, start, end);
    const found = this.#exports.scan(windowAt, windowAt + end - start, this.#mask);
    if (found === 0) this.#keepWindow(end - start);
    return found === 0 ? 0 : found - windowAt;
  }

  #load(bytes: Uint8Array, start: number, end: number): void {
    this.#memory.set(bytes.subarray(start, end), blockAt);
  }

  #keepWindow(lengthBytes: number): void {
    this.#memory.copyWithin(windowAt, windowAt + lengthBytes, blockAt + lengthBytes);
  }
}

interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly state: { value: number | bigint };
  /** From an address to before another; both 64 below that of the byte that comes in. */
  readonly roll: (from: number, end: number) => void;
  /** @returns the address after the byte, as those; 0 for none */
  readonly scan: (from: number, end: number, mask: number | bigint) => number;
}

export function compileKernel(hash: RollingHash): KernelModule {
  const roll = { name: 'roll', parameters: ['i32', 'i32'], result: undefined } as const;
  const scan = { name: 'scan', parameters: ['i32', 'i32', hash.state], result: 'i32' } as const;
  const locals = [hash.state, hash.state];
  const bytes = encodeModule({
    memoryPages: pages,
    state: hash.state,
    functions: [
      { ...roll, locals, code: loop(hash, { state: 2, found: [], last: [] }) },
      { ...scan, locals, code: loop(hash, { state: 3, found: whenFound(hash.state), last: [op.i32Const(0)] }) },
    ],
  });
  return new WebAssembly.Module(bytes);
}

const address = 0;
const end = 1;
const mask = 2;

function loop(
  { step }: RollingHash,
  {
    state,
    found,
    last,
  }: { readonly state: number; readonly found: readonly Instruction[]; readonly last: readonly Instruction[] },
): Instruction[] {
  const operands = { base: op.get(address), scratch: state + 1 };
  return lines(
    [op.getState, op.set(state)],
    [op.block, op.loop],
    [op.get(address), op.get(end), op.i32GeU, op.brIf(1)],
    [op.get(state), ...step(operands), op.set(state)],
    [op.get(address), op.i32Const(1), op.i32Add, op.set(address)],
    found,
    [op.br(0), op.end, op.end],
    [op.get(state), op.setState],
    last,
  );
}

function whenFound(type: ValueType): Instruction[] {
  const [and, isZero] = type === 'i32' ? [op.i32And, op.i32Eqz] : [op.i64And, op.i64Eqz];
  return [op.get(3), op.get(mask), and, isZero, op.if, op.get(address), op.return, op.end];
}
