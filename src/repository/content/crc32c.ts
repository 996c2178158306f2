/** CRC-32C (Castagnoli, RFC 3720 appendix B.4), which guards the chunks of S2 streams. */

/** Four tables, so that four bytes are looked up at a time. */
const tables: readonly Uint32Array[] = makeTables();

function makeTables(): Uint32Array[] {
  const reversedPolynomial = 0x82f63b78;
  const first = Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ reversedPolynomial : crc >>> 1;
    return crc;
  });
  const made = [first];
  for (let n = 1; n < 4; n++) {
    const before = made[n - 1]!;
    made.push(before.map((crc) => first[crc & 0xff]! ^ (crc >>> 8)));
  }
  return made;
}

export function crc32c(bytes: Uint8Array): number {
  const [t0, t1, t2, t3] = tables as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  let crc = 0xffff_ffff;
  let at = 0;
  for (; at + 4 <= bytes.length; at += 4) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc = t3[crc & 0xff]! ^ t2[(crc >>> 8) & 0xff]! ^ t1[(crc >>> 16) & 0xff]! ^ t0[crc >>> 24]!;
  }
  for (; at < bytes.length; at++) crc = t0[(crc ^ bytes[at]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
