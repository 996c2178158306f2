import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blobId } from '../../src/blobs/blob-store.ts';
import { MemoryStore } from '../../src/blobs/memory-store.ts';
import { openDoor } from './s3-door.ts';
import { SimClock } from '../support/sim-clock.ts';

const signal = new AbortController().signal;
const startMs = Date.UTC(2040, 0, 1);

test('a store is a bucket whose times are those of the simulated clock', async () => {
  const clock = new SimClock(startMs);
  const store = new MemoryStore({ clock });
  const asked: string[] = [];
  const before = async (method: string, key: string): Promise<void> => void asked.push(`${method} ${key}`);
  await using door = await openDoor({ store, clock, before });
  const bucket = `http://${door.endpoint}/bucket/`;
  for (const name of ['c', 'a', 'b']) await fetch(`${bucket}${name}`, { method: 'PUT', body: `about ${name}` });
  clock.advance(3_600_000);
  assert.equal(Buffer.from(await store.get(blobId('b'), { signal })).toString(), 'about b');
  const part = await fetch(`${bucket}b`, { headers: { range: 'bytes=2-4' } });
  assert.equal(part.status, 206);
  assert.equal(await part.text(), 'out');
  assert.equal(part.headers.get('content-range'), 'bytes 2-4/7');
  assert.equal(part.headers.get('last-modified'), new Date(startMs).toUTCString());
  assert.equal(part.headers.get('date'), new Date(clock.nowMs()).toUTCString());
  const first = await (await fetch(`${bucket}?list-type=2&max-keys=2`)).text();
  assert.match(first, /<IsTruncated>true<.*<NextContinuationToken>b<.*<Key>a<.*<Key>b</);
  const second = await (await fetch(`${bucket}?list-type=2&max-keys=2&continuation-token=b`)).text();
  assert.match(second, /<IsTruncated>false<\/IsTruncated><Contents><Key>c</);
  await fetch(`${bucket}b`, { method: 'DELETE' });
  assert.equal((await fetch(`${bucket}b`)).status, 404);
  assert.deepEqual(asked.slice(0, 4), ['PUT c', 'PUT a', 'PUT b', 'GET b']);
  const { time } = (await (await fetch(door.clockUrl)).json()) as { readonly time: string };
  assert.equal(Date.parse(time), clock.nowMs());
});

test('a request that something throws before is not served', async () => {
  const clock = new SimClock(startMs);
  const store = new MemoryStore({ clock });
  const before = async (): Promise<void> => await Promise.reject(new Error('no'));
  await using door = await openDoor({ store, clock, before });
  await assert.rejects(fetch(`http://${door.endpoint}/bucket/a`, { method: 'PUT', body: 'a' }));
  assert.deepEqual(await Array.fromAsync(store.list('', { signal })), []);
});
