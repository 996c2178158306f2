/** Kopia's 32-bit buzhash: `h = rotl(h, 1) ^ T[out] ^ T[in]`; the byte that goes out has been rotated by 64, which is not at all. */
import { lines, op } from './wasm-module.ts';
import { type RollingHash, windowBytes } from './rolling-kernel.ts';

/** 256 random numbers (`github.com/chmduquesne/rollinghash/buzhash32`: Go's `math/rand`, seed 1), the first for the byte 0. */
const table = `
  07fcfd52 5f3f164f 6695721d 7b4d7c03 49c6e2d1 0d1d68d8 7916001e 22c4d294 392907a0 189deb99 f3875d04 95e94627
  ba517936 83c471d4 7cb3ad0b a42655d9 7c4e0b68 d4491d1b 25632186 a9d78d73 169c1121 bb158644 b68e6a3f 759805f5
  2cdf5b8a 57d29245 c5d6d268 6b83d0e2 7674cb74 b068d9db bb9457d8 a15d523b 794209ff 9da1d7eb 5a25e0cb f840ec4b
  36d4ff9b f4a5ee3b 5ad145f4 f6740304 3f71f8cb 91018d7c fccae224 b186b51f 7d9e8fbc 93f93f33 f63a5b6f 19476c36
  bc897d06 169873f5 724c7af1 581eeb39 2257bb7d 6f269a28 be8e9981 7039374b 25416fed ded7e411 6678e7aa 244fcd36
  56aa6b86 de4561ad 3e99b0a8 bed80a3a e58348b0 af63e58d 406aec9d c233f007 a5ead0bd 050143a6 738b6829 3699caf3
  967cd710 06f665a6 25fd3d7f 0fd6e479 26fbf29b 16de4c35 2bf3394b 4af864ba 1cb9e6c6 41439089 69a39144 c34f182d
  421657ff f9fc6568 8b02c917 6c9c64b7 83d17909 ea3d4ca5 af635d47 7fc78769 be14186f 3539b1ea e9174548 c051e18a
  07b73658 29ec300c a250bf34 a7ed5d97 fe3dea79 b8b352f7 c9b344e9 8e5f0475 1941e52a 2694763d 6b40eabc 8485d68b
  336eacca 4399a363 67149b9c ae10a901 5a5ffefb 563b26de 6f00f02b 9f06397d 545836c4 31d6416b 12f4128d 752f33ff
  4a305605 0c8dc214 72521a90 8eb3e4a1 83efc6c6 090ec04f c1540864 ec2c8aaa 70ab53ba 38d3b494 878d4063 a317ae3f
  3cb62f07 f360412c 4ffbf3a9 22d554b4 3f190476 0796a710 f5c353cf 04f59bb7 2d230176 e2d6a9ce 3f1d7427 afd915bb
  b01aa47d cde2c269 7417bf38 1e094f9a 55ece0ea cb94539b 13d346b5 54e0c0c1 6db30e37 dc02b390 a6e222f5 e2f8c1fe
  2e166bdf 67588a74 21898f34 4c330f1d 19af53ba 70658b94 133c9673 4efeeadd 0f212551 070f0914 6f241c57 f13e41b7
  3be70cb0 f4b6f47f 20f31127 6551cb89 289cbd2c 8946f23d 40a79c3b 03c6d982 0365790c 0cf52517 0bb131e8 3da5475c
  139efcca bcd44eb4 a54af747 b73c32ed 9f6c47ac e8ba8f22 54043a66 3b0a7f20 b4926431 e17c02d5 8f0d2558 014fbff2
  7f803594 79b76fbe 33fe2656 792c8ee8 6b41292d fdff9c32 82093298 59483870 b2d5a113 2dd96e5a 5b8e56a9 ebd9dda9
  04f9ce92 cb440950 a67e52b1 49f6d261 92417fc3 1c3b6bd9 b027b7e0 1f765a41 44c9ab40 45d99121 fd7a84af 99b75788
  e3abff4a a88aa67f 736e41cc 9cbcbe5e 7b3ccebc e1b7fa93 315ae6af 9cced2e2 19ea0f2f a9770722 84a6bfdc 88f03f07
  a44a03a4 27a6b885 b580c8ba 018153da b648e604 51180278 893a310f 728f5f4c 37f5198b 3cc0ea9b e39d02db 13883142
  ca599392 c12d154e c176163d 5c92e2b8 f9f95ede b802bdfc 8a928585 dca6e10b 887953e8 48b9e962 e533e9a3 5e0ce6e5
  1dba77ae c8214b8a 53b428d7 4cf20a65
`
  .trim()
  .split(/\s+/);

const entry = [op.i32Const(2), op.i32Shl, op.i32Load(0)];

export const buzhash: RollingHash = {
  state: 'i32',
  tables: Buffer.from(Uint32Array.from(table, (word) => Number.parseInt(word, 16)).buffer),
  step: ({ base }) =>
    lines(
      [op.i32Const(1), op.i32Rotl],
      [base, op.i32Load8(0), ...entry, op.i32Xor],
      [base, op.i32Load8(windowBytes), ...entry, op.i32Xor],
    ),
};
