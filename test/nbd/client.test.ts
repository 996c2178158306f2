/** The client against a server that does what a script says: what real servers rarely do, or never should. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createServer } from 'node:net';

import { openNbdSource, reopenNbdSource, type NbdSource, type OpenNbdOptions } from '../../src/nbd/nbd-source.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { seededRng } from '../../src/std/rng.ts';
import { extent } from '../../src/volume/extent.ts';
import { listenHere } from '../support/listen-here.ts';
import {
  numbers,
  optionReply,
  type ScriptedServer,
  scriptedServer,
  type ServerScript,
  structuredReply,
} from './scripted-server.ts';

const signal = AbortSignal.timeout(60_000);
const rng = seededRng(1);
const content = Buffer.from(seededRng(2).bytes(300_000));
const coded =
  (code: string) =>
  (error: unknown): boolean =>
    hasCode(error, code);

async function open({ url }: ScriptedServer, options: Partial<OpenNbdOptions> = {}): Promise<NbdSource> {
  return await openNbdSource(url, { clock, rng }, { signal, ...options });
}

async function readAll(source: NbdSource): Promise<Buffer> {
  const into = Buffer.alloc(content.length);
  const middle = 123_456;
  await Promise.all([
    source.read(extent(0, middle), into.subarray(0, middle), { signal }),
    source.read(extent(middle, content.length - middle), into.subarray(middle), { signal }),
  ]);
  return into;
}

const allocation = { 'base:allocation': (_offset: number, length: number) => [[length, 0]] as const };

test('a server of any age is read: extended headers, structured replies, simple ones, no GO, no fixed newstyle', async () => {
  const ages: readonly NonNullable<ServerScript['knows']>[] = [
    {},
    { extended: false },
    { extended: false, structured: false },
    { extended: false, structured: false, go: false },
    { fixed: false },
  ];
  for (const knows of ages) {
    await using server = await scriptedServer({ content, knows, contexts: allocation });
    await using source = await open(server);
    assert.equal(source.sizeBytes, content.length);
    assert.ok((await readAll(source)).equals(content), JSON.stringify(knows));
    const [data] = await Array.fromAsync(source.dataExtents(extent(1000, 5000), { signal }));
    assert.deepEqual(data, extent(1000, 5000));
  }
});

test('requests keep to the blocks that the server takes', async () => {
  const sized = content.subarray(0, 294_912);
  await using server = await scriptedServer({ content: sized, blocks: [4096, 16_384], contexts: allocation });
  await using source = await open(server);
  const into = Buffer.alloc(100_000);
  await source.read(extent(5000, 100_000), into, { signal });
  assert.ok(into.equals(sized.subarray(5000, 105_000)));
  await Array.fromAsync(source.dataExtents(extent(5000, 10), { signal }));
  for (const { offset, length, command } of server.requests) {
    assert.equal(offset % 4096, 0);
    assert.equal(length % 4096, 0);
    assert.ok(command !== 0 || length <= 16_384);
  }
});

test('block status > contexts are never mixed, lists are asked for until they are whole, and the end is cut', async () => {
  const bit = 1;
  const contexts: ServerScript['contexts'] = {
    // Everything is a hole that does not read as zeros, but for 64 KiB that do.
    'base:allocation': (offset, length) => (offset < 65_536 ? [[65_536 - offset, 3]] : [[length + 2 ** 20, bit]]),
    // One at a time.
    'qemu:dirty-bitmap:b': (offset) => (offset < 131_072 ? [[131_072 - offset, 0]] : [[2 ** 30, bit]]),
  };
  for (const extended of [true, false]) {
    await using server = await scriptedServer({ content, contexts, knows: { extended } });
    await using source = await open(server, { bitmap: 'b' });
    assert.deepEqual(source.bitmaps, ['b']);
    const whole = extent(0, content.length);
    const data = await Array.fromAsync(source.dataExtents(whole, { signal }));
    assert.deepEqual(data, [extent(65_536, content.length - 65_536)]);
    assert.deepEqual(await Array.fromAsync(source.status('qemu:dirty-bitmap:b', whole, { signal })), [
      { offset: 0, lengthBytes: 131_072, flags: 0 },
      { offset: 131_072, lengthBytes: content.length - 131_072, flags: 1 },
    ]);
  }
});

test('block status > a part of what was told before is the same part, and is not asked for again', async () => {
  const kib = 1024;
  const contexts: ServerScript['contexts'] = {
    'base:allocation': (offset, length) =>
      Array.from({ length: Math.ceil(length / kib) }, (_, index) => [kib, (offset / kib + index) % 2 === 0 ? 0 : 2]),
  };
  const sized = content.subarray(0, 256 * kib);
  await using server = await scriptedServer({ content: sized, contexts });
  await using source = await open(server);
  for (const [offset, length] of [
    [0, 1],
    [1023, 2],
    [2048, 4096],
    [100_001, 7777],
    [0, 256 * kib],
    [255 * kib, kib],
  ] as const) {
    const found = await Array.fromAsync(source.dataExtents(extent(offset, length), { signal }));
    const expected = [];
    for (let start = 0; start < sized.length; start += 2 * kib) {
      const from = Math.max(start, offset);
      const to = Math.min(start + kib, offset + length);
      if (from < to) expected.push(extent(from, to - from));
    }
    assert.deepEqual(found, expected, `${offset}+${length}`);
  }
  assert.equal(server.requests.length, 1);
});

test('block status > what the server cannot or does not tell is data, and may be dirty', async () => {
  const silent: ServerScript['request'] = ({ command, cookie }) =>
    command === 7 ? structuredReply(cookie, 0, Buffer.alloc(0)) : undefined;
  const failing: ServerScript['request'] = ({ command, cookie }) =>
    command === 7 ? structuredReply(cookie, 0x8001, numbers([32, 5], [16, 0])) : undefined;
  const contexts = { ...allocation, 'qemu:dirty-bitmap:b': allocation['base:allocation'] };
  const whole = extent(0, content.length);
  for (const request of [silent, failing]) {
    await using server = await scriptedServer({ content, contexts, knows: { extended: false }, request });
    await using source = await open(server, { bitmap: 'b' });
    assert.deepEqual(await Array.fromAsync(source.dataExtents(whole, { signal })), [whole]);
    const dirty = Array.fromAsync(source.status('qemu:dirty-bitmap:b', whole, { signal }));
    if (request === failing) await assert.rejects(dirty, coded('nbd-io'));
    else assert.deepEqual(await dirty, [{ offset: 0, lengthBytes: content.length, flags: undefined }]);
    assert.ok((await readAll(source)).equals(content));
  }
});

test('what ends a handshake has its name', async () => {
  const long = Buffer.alloc(5000, 'x');
  const cases: readonly (readonly [string, Partial<ServerScript>])[] = [
    ['nbd-protocol', { greeting: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') }],
    ['nbd-refused', { greeting: numbers([64, 0x4e42444d41474943n], [64, 0x420281861253n], [64, 0]) }],
    [
      'nbd-export-missing',
      { option: (option) => (option === 7 ? optionReply(7, 0x8000_0006, Buffer.from('no such disk')) : undefined) },
    ],
    ['nbd-export-missing', { knows: { go: false }, option: (option) => (option === 1 ? 'close' : undefined) }],
    ['nbd-refused', { option: (option) => (option === 7 ? optionReply(7, 0x8000_0002) : undefined) }],
    ['nbd-tls', { option: (option) => optionReply(option, 0x8000_0005) }],
    ['nbd-unreachable', { option: () => 'close' }],
    [
      'nbd-protocol',
      {
        option: (option) => {
          const facts = numbers([16, 0], [64, 5], [16, 1]);
          return option === 7 ? Buffer.concat([optionReply(6, 3, facts), optionReply(6, 1)]) : undefined;
        },
      },
    ],
    ['nbd-protocol', { option: (option) => (option === 7 ? optionReply(7, 1) : undefined) }],
    ['nbd-protocol', { option: (option) => (option === 7 ? optionReply(7, 3, numbers([16, 0], [64, 5])) : undefined) }],
    [
      'nbd-protocol',
      {
        option: (option) => (option === 7 ? optionReply(7, 3, numbers([16, 3], [32, 3], [32, 3], [32, 3])) : undefined),
      },
    ],
    [
      'nbd-too-large',
      {
        option: (option) => (option === 7 ? optionReply(7, 3, numbers([16, 0], [64, 2n ** 60n], [16, 1])) : undefined),
      },
    ],
    ['nbd-protocol', { option: (option) => numbers([64, 0x3e889045565a9n], [32, option], [32, 1], [32, 2 ** 31]) }],
    ['nbd-protocol', { option: (option) => (option === 10 ? optionReply(10, 4, numbers([32, 1])) : undefined) }],
    [
      'nbd-protocol',
      { option: (option) => (option === 9 ? optionReply(9, 4, Buffer.concat([numbers([32, 1]), long])) : undefined) },
    ],
    [
      'nbd-protocol',
      {
        option: (option) =>
          option === 10 ? optionReply(10, 4, Buffer.concat([numbers([32, 1]), Buffer.from('other:thing')])) : undefined,
      },
    ],
    [
      'nbd-protocol',
      {
        option: (option) => {
          const one = optionReply(10, 4, Buffer.concat([numbers([32, 1]), Buffer.from('base:allocation')]));
          return option === 10 ? Buffer.concat([one, one]) : undefined;
        },
      },
    ],
  ];
  for (const [index, [code, script]] of cases.entries()) {
    await using server = await scriptedServer({ content, contexts: allocation, ...script });
    await assert.rejects(open(server), coded(code), `case ${index}`);
  }
});

test('TLS is not given up because a server has none, and nothing said before it counts', async () => {
  for (const answer of [
    optionReply(5, 0x8000_0001),
    optionReply(5, 0x8000_0002),
    Buffer.concat([optionReply(5, 1), optionReply(7, 1)]),
  ]) {
    await using server = await scriptedServer({ content, option: () => answer });
    const url = server.url.replace('nbd:', 'nbds:');
    const expected = answer.length > 20 ? /in the clear/ : /no TLS/;
    await assert.rejects(
      openNbdSource(url, { clock, rng }, { signal }),
      (error) => error instanceof Error && expected.test(String(error.cause)),
    );
    assert.deepEqual(server.options, [5]);
  }
});

test('a server that hangs ends in an error: while connecting, in silence, and when one answer never comes', async () => {
  const limits = { connectMs: 200, silenceMs: 100, requestMs: 300 };
  {
    await using server = await scriptedServer({ content, request: () => 'hang' });
    await using source = await open(server, { limits });
    await assert.rejects(source.read(extent(0, 10), Buffer.alloc(10), { signal }), coded('nbd-unreachable'));
    await assert.rejects(source.read(extent(0, 10), Buffer.alloc(10), { signal }), coded('nbd-unreachable'));
  }
  // It keeps answering everything but the first.
  let first: bigint | undefined;
  await using server = await scriptedServer({
    content,
    request: ({ cookie }) => ((first ??= cookie) === cookie ? 'hang' : undefined),
  });
  await using source = await open(server, { limits: { ...limits, silenceMs: 30_000 } });
  const hanging = assert.rejects(source.read(extent(0, 10), Buffer.alloc(10), { signal }), coded('nbd-unreachable'));
  const others = async (): Promise<void> => {
    for (;;) await source.read(extent(0, 4096), Buffer.alloc(4096), { signal });
  };
  await assert.rejects(others(), coded('nbd-unreachable'));
  await hanging;
  const silent = createServer();
  const url = `nbd://127.0.0.1:${await listenHere(silent)}/x`;
  await assert.rejects(openNbdSource(url, { clock, rng }, { limits, signal }), coded('nbd-unreachable'));
  const waiting = new AbortController();
  silent.once('connection', () => waiting.abort(new Error('enough')));
  await assert.rejects(openNbdSource(url, { clock, rng }, { signal: waiting.signal }), { message: 'enough' });
  silent.close();
});

test('a source whose server has been away says so at the end, though others have connected to it anew', async () => {
  let refuse = false;
  let broken = false;
  await using server = await scriptedServer({
    content,
    request: ({ cookie, command }) => {
      if (refuse && command === 0) return numbers([32, 0x67446698], [32, 5], [64, cookie]);
      return broken ? 'close' : undefined;
    },
    knows: { extended: false, structured: false },
  });
  await using source = await open(server);
  const identity = { kind: 'nbd', sizeBytes: content.length };
  assert.deepEqual(await source.identity({ signal }), identity);
  refuse = true;
  assert.deepEqual(await source.identity({ signal }), identity, 'a block that cannot be read is an answer');
  refuse = false;
  broken = true;
  await assert.rejects(source.identity({ signal }), coded('nbd-unreachable'));
  broken = false;
  await using worker = await reopenNbdSource(source.location, { clock }, { signal });
  await worker.read(extent(0, 100), Buffer.alloc(100), { signal });
  await assert.rejects(source.identity({ signal }), coded('nbd-unreachable'));
});

test('an empty export has nothing to ask for', async () => {
  await using server = await scriptedServer({ content: Buffer.alloc(0) });
  await using source = await open(server);
  assert.deepEqual(await source.identity({ signal }), { kind: 'nbd', sizeBytes: 0 });
  assert.deepEqual(server.requests, []);
});

test('a connection that dies fails all that is under way, and what comes after', async () => {
  let seen = 0;
  await using server = await scriptedServer({ content, request: () => (++seen < 3 ? 'hang' : 'close') });
  await using source = await open(server);
  const read = async (): Promise<void> => await source.read(extent(0, 4096), Buffer.alloc(4096), { signal });
  const outcomes = await Promise.allSettled([read(), read(), read()]);
  for (const outcome of outcomes)
    assert.ok(outcome.status === 'rejected' && hasCode(outcome.reason, 'nbd-unreachable'));
  await assert.rejects(read(), coded('nbd-unreachable'));
  assert.equal(seen, 3);
});

test('a reply that breaks the protocol ends the connection', async () => {
  await using server = await scriptedServer({
    content,
    request: ({ cookie }) => structuredReply(cookie + 1n, 0, Buffer.alloc(0)),
    knows: { extended: false },
  });
  await using source = await open(server);
  await assert.rejects(source.read(extent(0, 10), Buffer.alloc(10), { signal }), coded('nbd-protocol'));
  await assert.rejects(source.read(extent(0, 10), Buffer.alloc(10), { signal }), coded('nbd-protocol'));
});

test('an abort ends one read at once, leaves its buffer alone and the connection whole', async () => {
  const late = Promise.withResolvers<bigint>();
  await using server = await scriptedServer({
    content,
    knows: { extended: false },
    request: ({ cookie }) => {
      if (cookie !== 1n) {
        // The first is answered before this one.
        const answer = (id: bigint): Buffer =>
          structuredReply(id, 1, Buffer.concat([numbers([64, 0]), content.subarray(0, 100)]));
        return Buffer.concat([answer(1n), answer(cookie)]);
      }
      late.resolve(cookie);
      return 'hang';
    },
  });
  await using source = await open(server);
  const stop = new AbortController();
  const into = Buffer.alloc(100, 0xee);
  const aborted = source.read(extent(0, 100), into, { signal: stop.signal });
  await late.promise;
  stop.abort(new Error('no more'));
  await assert.rejects(aborted, { message: 'no more' });
  const other = Buffer.alloc(100);
  await source.read(extent(0, 100), other, { signal });
  assert.ok(other.equals(content.subarray(0, 100)));
  assert.ok(into.every((byte) => byte === 0xee));
});

test('another thread has a connection of its own where there may be several, and else reads through the first', async () => {
  for (const multiConn of [true, false]) {
    await using server = await scriptedServer({ content, multiConn });
    await using source = await open(server);
    const worker = await reopenNbdSource(structuredClone(source.location), { clock }, { signal });
    assert.equal(server.connections.made, multiConn ? 2 : 1);
    for (const into of [Buffer.alloc(5000), new Uint8Array(new SharedArrayBuffer(5000))]) {
      await worker.read(extent(77, 5000), into, { signal });
      assert.ok(content.subarray(77, 5077).equals(into));
    }
    await assert.rejects(
      worker.read(extent(content.length - 1, 2), Buffer.alloc(2), { signal }),
      coded('volume-range'),
    );
    await worker[Symbol.asyncDispose]();
  }
});

test('a read through the first connection fails as that does, with its code', async () => {
  await using server = await scriptedServer({ content, multiConn: false, request: () => 'close' });
  await using source = await open(server);
  await using worker = await reopenNbdSource(source.location, { clock }, { signal });
  await assert.rejects(worker.read(extent(0, 10), Buffer.alloc(10), { signal }), coded('nbd-unreachable'));
});

test('another thread goes by the first connection when the server takes no more, and refuses another disk', async () => {
  let size = content.length;
  let refuse = false;
  await using server = await scriptedServer({
    content,
    option: (option) => {
      if (refuse) return 'close';
      const facts = numbers([16, 0], [64, size], [16, 1 | 2 | 0x100]);
      return option === 7 ? Buffer.concat([optionReply(7, 3, facts), optionReply(7, 1)]) : undefined;
    },
  });
  // The scripted answer to GO does not begin the transmission, which no request of this test needs.
  await using source = await open(server);
  size -= 1;
  await assert.rejects(reopenNbdSource(source.location, { clock }, { signal }), coded('volume-changed'));
  refuse = true;
  await using relayed = await reopenNbdSource(source.location, { clock }, { signal });
  assert.equal(relayed.sizeBytes, content.length);
  assert.equal(server.connections.made, 3);
});
