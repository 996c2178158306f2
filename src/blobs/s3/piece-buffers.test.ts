import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PieceBuffers } from './piece-buffers.ts';

test('a copy has the bytes of its piece, and memory that was given back is used again', () => {
  const buffers = new PieceBuffers();
  const first = buffers.copyOf(Buffer.from('0123456789'));
  const second = buffers.copyOf(Buffer.from('abcdefghij'));
  assert.notEqual(first.buffer, second.buffer);
  buffers.giveBack([first]);
  const third = buffers.copyOf(Buffer.from('klmnop'));
  assert.equal(third.buffer, first.buffer);
  assert.equal(Buffer.from(third).toString(), 'klmnop');
  assert.equal(Buffer.from(second).toString(), 'abcdefghij');
  buffers.giveBack([third]);
  assert.equal(buffers.copyOf(Buffer.from('0123456789')).buffer, first.buffer);
});

test('a small piece takes no large memory, and no more than a few packs are kept', () => {
  const buffers = new PieceBuffers();
  const large = Array.from({ length: 10 }, () => buffers.copyOf(new Uint8Array(16 * 1024 * 1024)));
  buffers.giveBack(large);
  const known = new Set(large.map(({ buffer }) => buffer));
  assert.ok(!known.has(buffers.copyOf(new Uint8Array(100)).buffer));
  const again = large.map(({ length }) => buffers.copyOf(new Uint8Array(length)).buffer);
  assert.equal(again.filter((buffer) => known.has(buffer)).length, 4);
});
