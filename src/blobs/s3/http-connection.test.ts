import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { type Clock, systemClock } from '../../std/clock.ts';
import { HttpConnection } from './http-connection.ts';

const kib = 1024;

/** The pieces in which a body of 3 MiB was told to have moved, when each look at the clock is so much later than the last. */
async function movedPieces(msBetweenLooks: number): Promise<readonly number[]> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(200, { 'content-length': 0 }).end());
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => (nowMs += msBetweenLooks) };
  const connection = new HttpConnection({ host: '127.0.0.1', port: (server.address() as AddressInfo).port }, { clock });
  try {
    const moved: number[] = [];
    let answered = false;
    // Pieces that are no multiple of anything.
    const body = [new Uint8Array(700_001), new Uint8Array(3 * 1024 * kib - 700_001)];
    await connection.exchange({
      method: 'PUT',
      path: '/',
      headers: { host: 'server', 'content-length': String(3 * 1024 * kib) },
      body,
      onHead: () => (answered = true),
      onBody: () => undefined,
      // After the body come the bytes of the answer.
      onMoved: (bytes) => void (moved.reduce((sum, piece) => sum + piece, 0) < 3 * 1024 * kib && moved.push(bytes)),
    });
    assert.ok(answered);
    assert.equal(
      moved.reduce((sum, piece) => sum + piece, 0),
      3 * 1024 * kib,
    );
    return moved;
  } finally {
    connection.close(new Error('the test is over'));
    server.close();
  }
}

test('on a slow link little need move to count as progress', async () => {
  assert.ok(Math.max(...(await movedPieces(8_000))) <= 16 * kib);
});

test('long pieces are sent only when a link has shown that it is not slow', async () => {
  const moved = await movedPieces(7_000);
  let sum = 0;
  const first = moved.findIndex((piece) => (sum += piece) >= 1024 * kib);
  assert.ok(Math.max(...moved.slice(0, first + 1)) <= 16 * kib);
  assert.equal(Math.max(...moved), 256 * kib);
  assert.ok(moved.length - first < 14, 'the rest in few pieces');
});
