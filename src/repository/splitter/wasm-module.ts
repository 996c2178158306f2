/**
 * A WebAssembly module of a few functions over one memory, put together byte by byte (WebAssembly Core Specification, chapter 5,
 * "Binary Format"). Only what the rolling hashes need; the code reads like the text format, one instruction an element.
 */
export type ValueType = 'i32' | 'i64';

export interface WasmFunction {
  readonly name: string;
  readonly parameters: readonly ValueType[];
  readonly result: ValueType | undefined;
  /** They follow the parameters in numbering. */
  readonly locals: readonly ValueType[];
  /** From `op`, without the final `end`. */
  readonly code: readonly Instruction[];
}

export type Instruction = readonly number[];

export interface WasmShape {
  /** Of 64 KiB; exported as `memory`. */
  readonly memoryPages: number;
  /** One variable, zero at the start, exported as `state`. */
  readonly state: ValueType;
  readonly functions: readonly WasmFunction[];
}

const typeBytes: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e };
/** The instructions by name; a `memarg` is an alignment (which is a hint) and an offset. */
export const op = {
  // None of the three has a result.
  block: [0x02, 0x40],
  loop: [0x03, 0x40],
  if: [0x04, 0x40],
  end: [0x0b],
  br: (depth: number): Instruction => [0x0c, ...unsigned(depth)],
  brIf: (depth: number): Instruction => [0x0d, ...unsigned(depth)],
  return: [0x0f],
  get: (local: number): Instruction => [0x20, ...unsigned(local)],
  set: (local: number): Instruction => [0x21, ...unsigned(local)],
  getState: [0x23, 0],
  setState: [0x24, 0],
  i32Load: (offset: number): Instruction => [0x28, 2, ...unsigned(offset)],
  i64Load: (offset: number): Instruction => [0x29, 3, ...unsigned(offset)],
  i32Load8: (offset: number): Instruction => [0x2d, 0, ...unsigned(offset)],
  i64Load8: (offset: number): Instruction => [0x31, 0, ...unsigned(offset)],
  i32Const: (value: number): Instruction => [0x41, ...signed(value)],
  i64Const: (value: number): Instruction => [0x42, ...signed(value)],
  i32Eqz: [0x45],
  i32GeU: [0x4f],
  i64Eqz: [0x50],
  i32Add: [0x6a],
  i32And: [0x71],
  i32Xor: [0x73],
  i32Shl: [0x74],
  i32Rotl: [0x77],
  i64And: [0x83],
  i64Or: [0x84],
  i64Xor: [0x85],
  i64Shl: [0x86],
  i64ShrU: [0x88],
  i32Wrap: [0xa7],
} as const;

/** One statement a line, and no more than that. */
export function lines(...code: readonly (readonly Instruction[])[]): Instruction[] {
  return code.flat();
}

/** `\0asm`, version 1. */
const magic: readonly number[] = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

export function encodeModule({ memoryPages, state, functions }: WasmShape): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters, result }) => [
    0x60,
    ...vector(parameters.map((type) => [typeBytes[type]])),
    ...vector(result === undefined ? [] : [[typeBytes[result]]]),
  ]);
  const zero = state === 'i32' ? op.i32Const(0) : op.i64Const(0);
  const exports = [
    [...text('memory'), 0x02, 0],
    [...text('state'), 0x03, 0],
    ...functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)]),
  ];
  const bodies = functions.map(({ locals, code }) => {
    const body = [...vector(locals.map((type) => [1, typeBytes[type]])), ...code.flat(), ...op.end];
    return [...unsigned(body.length), ...body];
  });
  return Uint8Array.from([
    ...magic,
    ...section(1, types),
    ...section(
      3,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(5, [[0x00, ...unsigned(memoryPages)]]),
    ...section(6, [[typeBytes[state], 0x01, ...zero, ...op.end]]),
    ...section(7, exports),
    ...section(10, bodies),
  ]);
}

function section(id: number, items: readonly (readonly number[])[]): number[] {
  const content = vector(items);
  return [id, ...unsigned(content.length), ...content];
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function text(name: string): number[] {
  return [...unsigned(name.length), ...Buffer.from(name)];
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

/** Signed LEB128: the last byte's bit 6 is the sign. */
function signed(value: number): number[] {
  const rest = value >> 7;
  const low = value & 0x7f;
  const last = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
  return last ? [low] : [low | 0x80, ...signed(rest)];
}
