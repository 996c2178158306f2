import assert from 'node:assert/strict';
import { test } from 'node:test';

import { hasCode } from '../std/dray-error.ts';
import { extent } from '../volume/extent.ts';
import { type ReplyMode, ReplyReader } from './reply-reader.ts';
import { type Answered, ReadAnswer, StatusAnswer } from './request-answers.ts';

const broken = (error: unknown): boolean => hasCode(error, 'nbd-protocol');

function numbers(...parts: readonly (readonly [8 | 16 | 32 | 64, number | bigint])[]): Buffer {
  return Buffer.concat(
    parts.map(([bits, value]) =>
      Buffer.from(
        BigInt(value)
          .toString(16)
          .padStart(bits / 4, '0'),
        'hex',
      ),
    ),
  );
}

const simple = (cookie: number, errno = 0): Buffer => numbers([32, 0x67446698], [32, errno], [64, cookie]);
const chunk = (cookie: number, type: number, payload: Buffer, { done = true } = {}): Buffer =>
  Buffer.concat([
    numbers([32, 0x668e33ef], [16, done ? 1 : 0], [16, type], [64, cookie], [32, payload.length]),
    payload,
  ]);
const extended = (
  cookie: number,
  type: number,
  payload: Buffer,
  { offset = 0, length = payload.length } = {},
): Buffer =>
  Buffer.concat([numbers([32, 0x6e8a278c], [16, 1], [16, type], [64, cookie], [64, offset], [64, length]), payload]);
const data = (offset: number, bytes: Buffer): Buffer => Buffer.concat([numbers([64, offset]), bytes]);

interface World {
  readonly reader: ReplyReader;
  readonly into: Buffer;
  readonly read: Answered;
  readonly status: StatusAnswer;
  readonly open: Map<bigint, Answered>;
}

/** Request 1 reads 4,096 bytes at 8,192; request 2 asks about the blocks there, in context 3. */
function world(mode: ReplyMode): World {
  const into = Buffer.alloc(4096, 0xee);
  const read = new ReadAnswer(extent(8192, 4096), into);
  const status = new StatusAnswer(extent(8192, 4096), new Map([[3, 'base:allocation']]));
  const open = new Map<bigint, Answered>([
    [1n, read],
    [2n, status],
  ]);
  const reader = new ReplyReader({
    mode,
    find: (cookie) => open.get(cookie),
    finish: (cookie) => void open.delete(cookie),
  });
  return { reader, into, read, status, open };
}

test('replies > of all kinds arrive whole, however they are cut', async () => {
  const bytes = Buffer.alloc(4096, 7);
  const streams: Record<ReplyMode, Buffer> = {
    simple: Buffer.concat([simple(1), bytes, simple(2, 95)]),
    structured: Buffer.concat([
      chunk(2, 5, numbers([32, 3], [32, 4096], [32, 2])),
      chunk(1, 1, data(8192 + 1024, bytes.subarray(0, 3072)), { done: false }),
      chunk(1, 2, numbers([64, 8192], [32, 1024]), { done: false }),
      chunk(1, 0, Buffer.alloc(0)),
    ]),
    extended: Buffer.concat([
      extended(2, 6, numbers([32, 3], [32, 1], [64, 8192], [64, 2]), { offset: 8192 }),
      extended(1, 1, data(8192, bytes), { offset: 8192 }),
    ]),
  };
  for (const [mode, stream] of Object.entries(streams)) {
    for (const piece of [1, 3, 4, 21, 1000, stream.length]) {
      const { reader, into, read, status, open } = world(mode as ReplyMode);
      status.outcome.catch(() => undefined);
      for (let at = 0; at < stream.length; at += piece) reader.push(stream.subarray(at, at + piece));
      await read.outcome;
      assert.equal(open.size, 0, `${mode} in pieces of ${piece}`);
      assert.ok(into.subarray(1024).equals(bytes.subarray(1024)));
      assert.equal(into[0], mode === 'structured' ? 0 : 7);
      if (mode !== 'simple') assert.equal(status.statuses[0]?.descriptors[0]?.flags, 2);
      else await assert.rejects(status.outcome, (error) => hasCode(error, 'nbd-io'));
    }
  }
});

test('replies > an error is that of its request, with what the server says and where', async () => {
  const { reader, read } = world('structured');
  const text = Buffer.from('bad sector');
  reader.push(chunk(1, 1, data(8192, Buffer.alloc(1024)), { done: false }));
  reader.push(
    chunk(1, 0x8002, Buffer.concat([numbers([32, 5], [16, text.length]), text, numbers([64, 9216])]), { done: false }),
  );
  reader.push(chunk(1, 0x8fff, numbers([32, 22], [16, 0]), { done: false }));
  reader.push(chunk(1, 0, Buffer.alloc(0)));
  await assert.rejects(read.outcome, { code: 'nbd-io', message: 'the server answered EIO: bad sector at 9216' });
});

test('replies > nothing is believed that does not answer a request', () => {
  const cases: readonly (readonly [string, ReplyMode, Buffer])[] = [
    ['a magic of no reply', 'structured', Buffer.alloc(20)],
    ['structured without having agreed on it', 'simple', chunk(1, 0, Buffer.alloc(0))],
    ['simple after extended headers', 'extended', simple(1)],
    ['structured after extended headers', 'extended', chunk(1, 0, Buffer.alloc(0))],
    ['an unknown cookie', 'structured', chunk(9, 0, Buffer.alloc(0))],
    ['an unknown cookie, simple', 'simple', simple(9)],
    ['data in a simple reply after having agreed on structured ones', 'structured', simple(1)],
    ['success without an answer', 'simple', simple(2)],
    ['data beyond the request', 'structured', chunk(1, 1, data(8192, Buffer.alloc(4097)))],
    ['data before the request', 'structured', chunk(1, 1, data(8191, Buffer.alloc(10)))],
    ['data that ends past the request', 'structured', chunk(1, 1, data(12_287, Buffer.alloc(2)))],
    ['data of no length', 'structured', chunk(1, 1, data(8192, Buffer.alloc(0)))],
    ['a hole past the request', 'structured', chunk(1, 2, numbers([64, 8192], [32, 4097]))],
    ['a hole of no length', 'structured', chunk(1, 2, numbers([64, 8192], [32, 0]))],
    ['a hole of another form', 'structured', chunk(1, 2, Buffer.alloc(16))],
    ['data for a question about blocks', 'structured', chunk(2, 1, data(8192, Buffer.alloc(8)))],
    ['blocks for a read', 'structured', chunk(1, 5, numbers([32, 3], [32, 4096], [32, 0]))],
    ['a context that was not agreed on', 'structured', chunk(2, 5, numbers([32, 4], [32, 4096], [32, 0]))],
    ['a list of no descriptors', 'structured', chunk(2, 5, numbers([32, 3]))],
    [
      'a list that goes past the question',
      'structured',
      chunk(2, 5, numbers([32, 3], [32, 4096], [32, 0], [32, 4096], [32, 0])),
    ],
    [
      'a list that would fill the memory',
      'structured',
      numbers([32, 0x668e33ef], [16, 1], [16, 5], [64, 2], [32, 0xffff_ffff]),
    ],
    ['a length of 64 bits', 'extended', extended(2, 6, Buffer.alloc(0), { offset: 8192, length: 2 ** 53 })],
    ['another offset than the request has', 'extended', extended(1, 0x8001, numbers([32, 5], [16, 0]), { offset: 0 })],
    ['an empty reply with a body', 'structured', chunk(1, 0, Buffer.alloc(1))],
    ['an empty reply that ends nothing', 'structured', chunk(1, 0, Buffer.alloc(0), { done: false })],
    ['an unknown type', 'structured', chunk(1, 77, Buffer.alloc(20))],
    ['an error that is too short', 'structured', chunk(1, 0x8001, Buffer.alloc(5))],
    ['an error whose text is longer than it is', 'structured', chunk(1, 0x8001, numbers([32, 5], [16, 10], [8, 0]))],
    ['an error with a novel', 'structured', chunk(1, 0x8001, Buffer.alloc(70_000))],
    ['a read that is done with a part of it', 'structured', chunk(1, 1, data(8192, Buffer.alloc(4095)))],
    ['a read that is done without any of it', 'structured', chunk(1, 0, Buffer.alloc(0))],
    [
      'a part that comes twice, and one that never comes',
      'structured',
      Buffer.concat([
        chunk(1, 1, data(8192, Buffer.alloc(2048)), { done: false }),
        chunk(1, 1, data(8193, Buffer.alloc(2048))),
      ]),
    ],
    [
      'all of it, and a part once more',
      'structured',
      Buffer.concat([4096, 10].map((size) => chunk(1, 1, data(8192, Buffer.alloc(size)), { done: size === 10 }))),
    ],
    [
      'two lists for one context',
      'structured',
      Buffer.concat([0, 1].map((nth) => chunk(2, 5, numbers([32, 3], [32, 4096], [32, 0]), { done: nth === 1 }))),
    ],
  ];
  for (const [what, mode, stream] of cases) {
    assert.throws(() => world(mode).reader.push(stream), broken, what);
  }
});

test('replies > one that never ends is given up once it has said too much, also after an abort', () => {
  const part = (offset: number): Buffer => chunk(1, 1, data(8192 + offset, Buffer.alloc(8)), { done: false });
  const hole = chunk(1, 2, numbers([64, 8192], [32, 4096]), { done: false });
  for (const abandoned of [false, true]) {
    const { reader, read } = world('structured');
    if (abandoned) read.abandon();
    // Never after each other, so that each is a part of its own.
    for (let nth = 0; nth < 512; nth++) reader.push(part(nth % 2 === 0 ? 0 : 2048));
    assert.throws(() => reader.push(part(0)), broken);
  }
  const { reader } = world('structured');
  reader.push(hole);
  assert.throws(() => reader.push(hole), broken);

  const answer = new ReadAnswer(extent(0, 2 ** 20), Buffer.alloc(2 ** 20));
  assert.throws(() => {
    for (let at = 0; at < 2 ** 20; at += 4) answer.data(at, Buffer.alloc(1));
  }, broken);
});

test('replies > what comes after an abort is dropped, and the buffer is left alone', () => {
  const { reader, into, read, open } = world('structured');
  read.abandon();
  reader.push(chunk(1, 1, data(8192, Buffer.alloc(4096, 7))));
  assert.equal(open.has(1n), false);
  assert.ok(into.every((byte) => byte === 0xee));
});
