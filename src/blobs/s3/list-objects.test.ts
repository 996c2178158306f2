import assert from 'node:assert/strict';
import { test } from 'node:test';

import { listObjects } from './list-objects.ts';
import type { S3Client } from './s3-client.ts';

test('a listing of empty pages that lead to each other ends', async () => {
  let pages = 0;
  const send: S3Client['send'] = async () => {
    pages += 1;
    assert.ok(pages < 10_000, 'it goes on and on');
    const next = `<NextContinuationToken>t${pages % 2}</NextContinuationToken>`;
    const text = `<ListBucketResult><IsTruncated>true</IsTruncated>${next}</ListBucketResult>`;
    return await Promise.resolve({ status: 200, headers: {}, body: Buffer.from(text) });
  };
  const { signal } = new AbortController();
  const listed = listObjects({ client: { send }, prefix: '', description: 's3://bucket/' }, 'p', { signal });
  await assert.rejects(Array.fromAsync(listed), { code: 'blob-unavailable' });
});

/** Two pages of one name each; the second comes when it is told to. */
function twoPages(): { readonly send: S3Client['send']; readonly asked: AbortSignal[]; readonly release: () => void } {
  const asked: AbortSignal[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const send: S3Client['send'] = async (_request, { signal }) => {
    const nth = asked.push(signal);
    const page = `<Contents><Key>p${nth}</Key><LastModified>2031-01-14T03:04:05Z</LastModified><Size>1</Size></Contents>`;
    const next = nth === 1 ? '<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>' : '';
    if (nth > 1) {
      const aborted = Promise.withResolvers<never>();
      signal.addEventListener('abort', () => aborted.reject(signal.reason as Error), { once: true });
      await Promise.race([promise, aborted.promise]);
    }
    return { status: 200, headers: {}, body: Buffer.from(`<ListBucketResult>${next}${page}</ListBucketResult>`) };
  };
  return { send, asked, release: resolve };
}

test('the next page travels while the names of this one are made use of', async () => {
  const { send, asked, release } = twoPages();
  const { signal } = new AbortController();
  const listed = listObjects({ client: { send }, prefix: '', description: 's3://bucket/' }, 'p', { signal });
  assert.equal((await listed.next()).value?.id, 'p1');
  assert.equal(asked.length, 2);
  release();
  assert.equal((await listed.next()).value?.id, 'p2');
  assert.equal((await listed.next()).done, true);
});

test('whoever leaves a listing leaves no page on its way, nor one that failed', async () => {
  const { send, asked } = twoPages();
  const aborting = new AbortController();
  const from = { client: { send }, prefix: '', description: 's3://bucket/' };
  for await (const { id } of listObjects(from, 'p', { signal: aborting.signal })) {
    assert.equal(id, 'p1');
    break;
  }
  assert.equal(asked.length, 2);
  assert.ok(asked[1]!.aborted);
  assert.ok(!aborting.signal.aborted);

  const other = twoPages();
  const reading = listObjects({ ...from, client: { send: other.send } }, 'p', { signal: aborting.signal });
  await reading.next();
  aborting.abort(new Error('enough'));
  await assert.rejects(reading.next(), /enough/);
});
