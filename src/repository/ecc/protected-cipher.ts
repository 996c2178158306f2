/** A cipher whose sealed bytes can be mended: every sealed piece is stored with error correction around it. */
import type { Cipher } from '../format/encryption.ts';
import { hasCode } from '../../std/dray-error.ts';
import { ErrorCorrection } from './error-correction.ts';

export function protectedCipher(inner: Cipher, overheadPercent: number): Cipher {
  const correction = new ErrorCorrection(overheadPercent);
  return {
    sealedBytes: (plainBytes) => correction.storedBytes(inner.sealedBytes(plainBytes)),
    sealInto: (iv, plain, out, offset) => {
      const sealedBytes = inner.sealedBytes(plain.length);
      return correction.wrapInto(sealedBytes, (into) => inner.sealInto(iv, plain, into, 0), out, offset);
    },
    isWhole: (stored) => correction.isWhole(stored),
    openInto: (iv, stored, out) => {
      try {
        return inner.openInto(iv, correction.unwrap(stored), out);
      } catch (error) {
        if (!hasCode(error, 'corrupt')) throw error;
        return inner.openInto(iv, correction.mend(stored), out);
      }
    },
  };
}
