import assert from 'node:assert/strict';
import { test } from 'node:test';

import { hasCode } from '../std/dray-error.ts';
import { decodeBlockStatus, isDirty, readsAsZeros } from './block-status.ts';

const narrow = (id: number, ...pairs: readonly (readonly [number, number])[]): Buffer => {
  const bytes = Buffer.alloc(4 + 8 * pairs.length);
  bytes.writeUInt32BE(id);
  for (const [index, [length, flags]] of pairs.entries()) {
    bytes.writeUInt32BE(length, 4 + 8 * index);
    bytes.writeUInt32BE(flags, 8 + 8 * index);
  }
  return bytes;
};

const wide = (count: number, ...pairs: readonly (readonly [bigint, bigint])[]): Buffer => {
  const bytes = Buffer.alloc(8 + 16 * pairs.length);
  bytes.writeUInt32BE(5);
  bytes.writeUInt32BE(count, 4);
  for (const [index, [length, flags]] of pairs.entries()) {
    bytes.writeBigUInt64BE(length, 8 + 16 * index);
    bytes.writeBigUInt64BE(flags, 16 + 16 * index);
  }
  return bytes;
};

const broken = (error: unknown): boolean => hasCode(error, 'nbd-protocol');

test('block status > the last descriptor may go past what was asked about, no other may', () => {
  const payload = narrow(7, [4096, 3], [0xffff_ffff, 0]);
  assert.deepEqual(decodeBlockStatus(payload, { extended: false, lengthBytes: 4097 }), {
    context: 7,
    descriptors: [
      { lengthBytes: 4096, flags: 3 },
      { lengthBytes: 0xffff_ffff, flags: 0 },
    ],
  });
  assert.throws(() => decodeBlockStatus(payload, { extended: false, lengthBytes: 4096 }), broken);
});

test('block status > of 64 bits: lengths that are safe, flags that are known or unknown', () => {
  const { descriptors } = decodeBlockStatus(wide(2, [2n ** 40n, 2n], [1n, 2n ** 32n]), {
    extended: true,
    lengthBytes: 2 ** 41,
  });
  assert.deepEqual(descriptors, [
    { lengthBytes: 2 ** 40, flags: 2 },
    { lengthBytes: 1, flags: undefined },
  ]);
});

test('block status > what is malformed is refused', () => {
  const options = { extended: false, lengthBytes: 8192 };
  for (const payload of [narrow(1), narrow(1, [0, 0]), narrow(1, [4096, 0]).subarray(0, 11), Buffer.alloc(15)]) {
    assert.throws(() => decodeBlockStatus(payload, options), broken);
  }
  for (const payload of [wide(0, [1n, 0n]), wide(2, [1n, 0n]), wide(1, [2n ** 53n, 0n]), wide(1, [0n, 0n])]) {
    assert.throws(() => decodeBlockStatus(payload, { ...options, extended: true }), broken);
  }
});

test('block status > only "zero" reads as zeros, and only "clean" is clean', () => {
  const of = (flags: number | undefined): { readonly lengthBytes: number; readonly flags: number | undefined } => ({
    lengthBytes: 1,
    flags,
  });
  // A hole alone may hold anything: a thin device that does not zero.
  assert.deepEqual(
    [0, 1, 2, 3, undefined].map((flags) => readsAsZeros(of(flags))),
    [false, false, true, true, false],
  );
  assert.deepEqual(
    [0, 1, 2, undefined].map((flags) => isDirty(of(flags))),
    [false, true, true, true],
  );
});
