/** Zeros in what is about to be written: long runs become holes, short ones are written, as they cost less so. */
const blockBytes = 64 * 1024;
const zeros = Buffer.alloc(blockBytes);

export interface Run {
  readonly start: number;
  readonly lengthBytes: number;
  readonly zero: boolean;
}

export function isZero(bytes: Uint8Array): boolean {
  for (let start = 0; start < bytes.length; start += blockBytes) {
    const block = bytes.subarray(start, start + blockBytes);
    if (block[0] !== 0 || Buffer.compare(zeros.subarray(0, block.length), block) !== 0) return false;
  }
  return true;
}

/** Splits `bytes` into alternating runs of data and zeros whose borders are multiples of 64 KiB from its start. */
export function dataRuns(bytes: Uint8Array): Run[] {
  const runs: { start: number; lengthBytes: number; zero: boolean }[] = [];
  for (let start = 0; start < bytes.length; start += blockBytes) {
    const block = bytes.subarray(start, start + blockBytes);
    const zero = isZero(block);
    const last = runs[runs.length - 1];
    if (last !== undefined && last.zero === zero) last.lengthBytes += block.length;
    else runs.push({ start, lengthBytes: block.length, zero });
  }
  return runs;
}
