/** What the decoders of the LZ77 family share. */

/**
 * Repeats `length` bytes from `distance` before `to`; where the two overlap, what has just been written is read again.
 * The caller has checked that all of it lies in `out`.
 */
export function copyMatch(out: Uint8Array, to: number, { distance, length }: Match): void {
  if (distance >= length) {
    out.copyWithin(to, to - distance, to - distance + length);
    return;
  }
  if (distance === 1) {
    out.fill(out[to - 1]!, to, to + length);
    return;
  }
  for (let at = to; at < to + length; at++) out[at] = out[at - distance]!;
}

export interface Match {
  readonly distance: number;
  readonly length: number;
}
