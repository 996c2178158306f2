/** Reads that are asked for again, over real connections. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blobId } from '../../src/blobs/blob-store.ts';
import { HedgeStore } from '../../src/blobs/hedge.ts';
import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { seededRng } from '../../src/std/rng.ts';
import { startStub } from './stub-server.ts';

const signal = AbortSignal.timeout(120_000);
const id = blobId('p1');
const bytes = Buffer.from(seededRng(1).bytes(200_000));
const range = { offset: 1000, lengthBytes: 150_000 };
const findKeys = async (): Promise<{ accessKeyId: string; secretAccessKey: string }> => ({
  accessKeyId: 'a-key',
  secretAccessKey: 'a-secret',
});

test('an answer that stops in the middle is overtaken by the second, and its connection is closed', async () => {
  await using stub = await startStub();
  const s3 = await S3Store.open(stub.place, { signal, clock, findKeys });
  await using store = new HedgeStore({ store: s3, clock }, { share: 1, patienceMsMin: 1 });
  await store.put(id, bytes, { signal });
  for (let nth = 0; nth < 64; nth++) await store.get(id, { range, signal });
  const closed = Promise.withResolvers<void>();
  let stopped = 0;
  stub.script = ({ nth }, response) => {
    if (stopped > 0) return 'serve';
    stopped = nth;
    const { offset, lengthBytes } = range;
    const contentRange = `bytes ${offset}-${offset + lengthBytes - 1}/${bytes.length}`;
    response.writeHead(206, { etag: '"x"', 'content-length': lengthBytes, 'content-range': contentRange });
    // Wrong bytes, so that it shows if they are handed back.
    response.write(Buffer.alloc(lengthBytes / 2, 0xee));
    response.on('close', () => closed.resolve());
    return 'taken';
  };
  const into = Buffer.alloc(range.lengthBytes);
  const got = await store.get(id, { range, into, signal });
  assert.ok(stopped > 0);
  assert.equal(got.buffer, into.buffer);
  assert.deepEqual(Buffer.from(got), bytes.subarray(1000, 151_000));
  await closed.promise;
});
