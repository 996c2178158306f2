/** Where keys come from is away for a moment, or gives none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlobError, blobId } from '../../src/blobs/blob-store.ts';
import { type FindKeys } from '../../src/blobs/s3/s3-credentials.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { faulty } from './faulty-store.ts';

const signal = AbortSignal.timeout(120_000);
const id = blobId('p1');
const bytes = Buffer.from('some bytes');
const keys = { accessKeyId: 'a-key', secretAccessKey: 'a-secret' };

test('keys that cannot be had for a moment are asked for again, and those that are not there are not', async () => {
  let asked = 0;
  const failing = (error: Error): FindKeys => {
    asked = 0;
    return async () => {
      asked += 1;
      if (asked <= 2) throw error;
      return keys;
    };
  };
  const away = new BlobError('blob-unavailable', 'the service is away');
  await using passing = await faulty(undefined, failing(away));
  await passing.retried.put(id, bytes, { signal });
  assert.equal(asked, 3);
  await using lasting = await faulty(undefined, failing(new Error('nowhere')));
  await assert.rejects(lasting.retried.put(id, bytes, { signal }), (error) => hasCode(error, 'blob-credentials'));
  assert.equal(asked, 1);
});

test('keys that were there before and have expired are asked for again, whatever is said of new ones', async () => {
  let asked = 0;
  await using on = await faulty(undefined, async () => {
    asked += 1;
    if (asked === 2 || asked === 3) throw new Error('nowhere');
    return { ...keys, expiration: new Date(asked === 1 ? Date.now() - 1 : Date.now() + 3_600_000) };
  });
  await on.retried.put(id, bytes, { signal });
  await on.retried.put(id, bytes, { signal });
  assert.equal(asked, 4);
});

test('a search for keys that has no end is given one, and begun anew', async () => {
  let asked = 0;
  const begun = Promise.withResolvers<void>();
  await using on = await faulty(undefined, async () => {
    asked += 1;
    if (asked > 1) return keys;
    begun.resolve();
    return await new Promise<never>(() => {});
  });
  const stored = on.retried.put(id, bytes, { signal });
  await begun.promise;
  on.clock.passDeadline();
  await stored;
  assert.equal(asked, 2);
});

test('a search that takes long holds nobody up while the keys at hand are good', async () => {
  let asked = 0;
  await using on = await faulty(undefined, async () => {
    asked += 1;
    if (asked === 1) return { ...keys, expiration: new Date(Date.now() + 120_000) };
    return await new Promise<never>(() => {});
  });
  await on.retried.put(id, bytes, { signal });
  await on.retried.put(id, bytes, { signal });
  await on.retried.put(id, bytes, { signal });
  assert.equal(asked, 2);
});
