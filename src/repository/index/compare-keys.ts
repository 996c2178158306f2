/**
 * Index keys (prefix byte and hash) are ordered bytewise. A loop in JavaScript decides after a byte or two and beats the
 * call into `Buffer.compare`, which is what nearly every step of a search or a merge would otherwise pay for.
 */
export function compareKeys(a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, lengthBytes: number): number {
  for (let i = 0; i < lengthBytes; i++) {
    const difference = a[aAt + i]! - b[bAt + i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
