import assert from 'node:assert/strict';
import { test } from 'node:test';

import { decodeChunked } from './aws-chunked.ts';

test('pieces with and without signatures are joined, and trailers left out', () => {
  const signed = 'a;chunk-signature=00ff\r\n0123456789\r\n3\r\n\r\na\r\n0;chunk-signature=0\r\n\r\n';
  assert.equal(decodeChunked(Buffer.from(signed)).toString(), '0123456789\r\na');
  const trailed = '2\r\nhi\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n';
  assert.equal(decodeChunked(Buffer.from(trailed)).toString(), 'hi');
});

test('a body that ends early is refused', () => {
  for (const body of ['', '5\r\nabc', 'zz\r\n', '3\r\nabc\r\n'])
    assert.throws(() => decodeChunked(Buffer.from(body)), Error, body);
});
