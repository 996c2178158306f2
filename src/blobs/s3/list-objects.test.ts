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
