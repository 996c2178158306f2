import { randomFillSync } from 'node:crypto';

/** Randomness as a part, so that a seed can drive tests and simulations. */
export interface Rng {
  /** Fresh random bytes owned by the caller. */
  bytes(lengthBytes: number): Uint8Array;
  /** Uniform in [0, 1). */
  uniform(): number;
}

/** For names that nobody else has. @returns two digits a byte */
export function randomHex(rng: Rng, lengthBytes: number): string {
  return Buffer.from(rng.bytes(lengthBytes)).toString('hex');
}

/** The operating system's generator; the only one that may make keys, nonces and ids. */
export const systemRng: Rng = {
  bytes: (lengthBytes) => randomFillSync(new Uint8Array(lengthBytes)),
  uniform: () => Math.random(),
};

/** A repeatable generator (mulberry32) for tests, sampling and simulations; never for keys. */
export function seededRng(seed: number): Rng {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    bytes(lengthBytes) {
      const bytes = new Uint8Array(lengthBytes);
      for (let at = 0; at < lengthBytes; at++) bytes[at] = next();
      return bytes;
    },
    uniform: () => next() / 0x1_0000_0000,
  };
}
