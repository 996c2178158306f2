import assert from 'node:assert/strict';
import { test } from 'node:test';

import { directAlignmentBytes } from '../kernel/aligned-memory.ts';
import { FetchSlots, slotBytes } from './fetch-slots.ts';

test('a slot takes memory when it is asked for its bytes, and gives it to the next', () => {
  const slots = new FetchSlots(1);
  const waiting = Array.from({ length: 10 }, () => slots.slot(slotBytes));
  const used = [slots.slot(slotBytes), slots.slot(slotBytes)];
  const [first, second] = used.map(({ bytes }) => bytes);
  assert.equal(first!.buffer, second!.buffer, 'those that only wait have taken the memory of the worker');
  assert.notEqual(first!.byteOffset, second!.byteOffset);
  assert.equal(used[0]!.bytes, first);
  for (const slot of waiting) slot[Symbol.dispose]();
  for (const slot of used) slot[Symbol.dispose]();
  using next = slots.slot(1000, { phase: 100 });
  assert.equal(next.bytes.buffer, first!.buffer);
  assert.equal(next.bytes.byteOffset % directAlignmentBytes, 100);
});

test('beyond the memory of the worker, and for more than a slot holds, there is memory of its own', () => {
  const slots = new FetchSlots(1);
  using one = slots.slot(1);
  using two = slots.slot(1);
  using three = slots.slot(1);
  assert.deepEqual(
    [two, three].map(({ bytes }) => bytes.buffer === one.bytes.buffer),
    [true, false],
  );
  const large = slots.slot(slotBytes + 1);
  const { buffer } = large.bytes;
  assert.ok(large.bytes.length > slotBytes);
  large[Symbol.dispose]();
  using again = slots.slot(slotBytes + 2);
  assert.equal(again.bytes.buffer, buffer, 'large memory is not kept');
});
