import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import { type HttpHead, ResponseReader } from './http-response.ts';

interface Read {
  readonly head: HttpHead | undefined;
  readonly body: string;
  readonly ended: boolean;
  readonly reusable: boolean;
}

/** `cuts`: how long the pieces are in which the bytes arrive; the last one holds for the rest. */
function read(bytes: Buffer, { cuts = [1e9], method = 'GET', close = false } = {}): Read {
  let head: HttpHead | undefined;
  let ended = false;
  const pieces: Buffer[] = [];
  const sink = {
    onHead: (got: HttpHead) => {
      assert.equal(head, undefined);
      head = got;
    },
    onBody: (piece: Uint8Array) => void pieces.push(Buffer.from(piece)),
    onEnd: () => {
      assert.equal(ended, false);
      ended = true;
    },
  };
  const reader = new ResponseReader(sink, { method });
  // As a connection does: every piece in the same memory, which is other bytes a moment later.
  const memory = Buffer.alloc(Math.max(1, bytes.length));
  for (let at = 0, nth = 0; at < bytes.length; nth += 1) {
    const length = Math.min(cuts[Math.min(nth, cuts.length - 1)]!, bytes.length - at);
    bytes.copy(memory, 0, at, at + length);
    reader.push(memory.subarray(0, length));
    memory.fill(0xee);
    at += length;
  }
  if (close) reader.close();
  return { head, body: Buffer.concat(pieces).toString('latin1'), ended, reusable: reader.reusable };
}

const text = (...lines: readonly string[]): Buffer => Buffer.from(lines.join('\r\n'), 'latin1');
const cutsOf = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 });
const isUnreadable = (error: unknown): boolean => hasCode(error, 'blob-unavailable');

describe('a response', () => {
  test('of a server is read alike, however it is cut', async () => {
    const server = createServer((request, response) => {
      response.setHeader('x-amz-thing', ['a', 'b']);
      if (request.url === '/chunked') {
        for (const piece of ['one', 'two ', 'x'.repeat(300)]) response.write(piece);
        response.end();
      } else response.end('all of it');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      for (const [path, body] of [
        ['/chunked', `onetwo ${'x'.repeat(300)}`],
        ['/', 'all of it'],
      ] as const) {
        const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
        socket.end(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
        const bytes = await buffer(socket);
        fc.assert(
          fc.property(cutsOf, (cuts) => {
            const got = read(bytes, { cuts });
            assert.equal(got.head?.status, 200);
            assert.equal(got.head.headers['x-amz-thing'], 'a, b');
            assert.deepEqual([got.body, got.ended], [body, true]);
          }),
        );
      }
    } finally {
      server.close();
    }
  });

  test('ends where its head says, and its connection is used again only when both sides know where that is', () => {
    const whole = text('HTTP/1.1 200 OK', 'Content-Length: 3', '', 'abc');
    assert.deepEqual(read(whole, { cuts: [1] }), {
      head: { status: 200, headers: Object.assign(Object.create(null) as object, { 'content-length': '3' }) },
      body: 'abc',
      ended: true,
      reusable: true,
    });
    const endless = text('HTTP/1.1 200 OK', '', 'abc');
    assert.equal(read(endless).ended, false);
    const closed = read(endless, { close: true });
    assert.deepEqual([closed.body, closed.ended, closed.reusable], ['abc', true, false]);
    assert.equal(read(text('HTTP/1.1 200 OK', 'Connection: close', 'Content-Length: 0', '', '')).reusable, false);
    assert.equal(read(text('HTTP/1.0 200 OK', 'Content-Length: 0', '', '')).reusable, false);
    for (const status of [204, 304]) {
      assert.equal(read(text(`HTTP/1.1 ${status} None`, 'Content-Length: 7', '', '')).reusable, true);
    }
    const ofHead = read(text('HTTP/1.1 200 OK', 'Content-Length: 7', '', ''), { method: 'HEAD' });
    assert.deepEqual([ofHead.head?.headers['content-length'], ofHead.ended, ofHead.reusable], ['7', true, true]);
  });

  test('comes after any number, but not all numbers, of interim ones', () => {
    const interim = 'HTTP/1.1 100 Continue\r\n\r\n';
    const last = text('HTTP/1.1 404 No', 'content-length: 0', '', '').toString('latin1');
    assert.equal(read(Buffer.from(interim.repeat(3) + last), { cuts: [7] }).head?.status, 404);
    assert.throws(() => read(Buffer.from(interim.repeat(1000))), isUnreadable);
  });

  const unreadable: readonly (readonly [what: string, bytes: Buffer])[] = [
    ['has two lengths', text('HTTP/1.1 200 OK', 'Content-Length: 3', 'Content-Length: 4', '', 'abc')],
    ['has a length and chunks', text('HTTP/1.1 200 OK', 'Content-Length: 3', 'Transfer-Encoding: chunked', '', 'abc')],
    ['is packed', text('HTTP/1.1 200 OK', 'Transfer-Encoding: gzip, chunked', '', '0', '', '')],
    ['has a length that is no number', text('HTTP/1.1 200 OK', 'Content-Length: +3', '', 'abc')],
    ['has a header in two lines', text('HTTP/1.1 200 OK', 'a: b', ' c', '', '')],
    ['has a blank in a name', text('HTTP/1.1 200 OK', 'content-length : 3', '', 'abc')],
    ['ends lines with a line feed', text('HTTP/1.1 200 OK\nContent-Length: 3', '', 'abc')],
    ['is of HTTP/2', text('HTTP/2 200', '', '')],
    ['is of another protocol', text('SSH-2.0-OpenSSH_9.2', '', '', '')],
    ['changes the protocol', text('HTTP/1.1 101 Switching Protocols', '', '')],
    ['is followed by more', text('HTTP/1.1 200 OK', 'Content-Length: 3', '', 'abcd')],
    ['has a chunk without a length', text('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', '', 'x', 'abc')],
    ['has a chunk that is longer', text('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', '', '2', 'abc', '0', '', '')],
    ['has a head without end', Buffer.from(`HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(20_000)}`)],
    ['has a first line without end', Buffer.from('H'.repeat(100_000))],
    [
      'has a chunk length without end',
      text('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', '', `1;${'x'.repeat(2000)}`),
    ],
    [
      'has trailers without end',
      text('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', '', '0', 'a: b\r\n'.repeat(1000)),
    ],
  ];
  for (const [what, bytes] of unreadable) {
    test(`that ${what} is refused, however it is cut`, () => {
      assert.throws(() => read(bytes), isUnreadable);
      fc.assert(
        fc.property(cutsOf, (cuts) => {
          assert.throws(() => read(bytes, { cuts }), isUnreadable);
        }),
        { numRuns: 20 },
      );
    });
  }

  test('that breaks off is not taken for a whole one, wherever that happens', () => {
    const whole = [
      text('HTTP/1.1 200 OK', 'Content-Length: 3', '', 'abc'),
      text('HTTP/1.1 200 OK', 'Transfer-Encoding: chunked', '', '3', 'abc', '0', '', ''),
    ];
    for (const bytes of whole) {
      assert.equal(read(bytes, { close: true }).body, 'abc');
      for (let length = 0; length < bytes.length; length += 1) {
        assert.throws(() => read(bytes.subarray(0, length), { close: true }), isUnreadable);
      }
    }
  });

  test('of any bytes ends in an answer or a typed error', () => {
    const words = fc.constantFrom(
      'HTTP/1.1 200 OK',
      'Content-Length: 5',
      'Transfer-Encoding: chunked',
      '5',
      '',
      'abc',
      '0',
    );
    const near = fc.array(words, { maxLength: 12 }).map((lines) => text(...lines));
    const any = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.oneof(near, any), cutsOf, fc.boolean(), (bytes, cuts, close) => {
        try {
          read(bytes, { cuts, close });
        } catch (error) {
          assert.ok(isUnreadable(error), String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
