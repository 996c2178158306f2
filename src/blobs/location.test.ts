import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '../std/dray-error.ts';
import { parseRepositoryUrl } from './location.ts';

test('a repository is a path or a file URL', () => {
  const path = (text: string): string => parseRepositoryUrl(text).path;
  assert.equal(path('/srv/repo'), '/srv/repo');
  assert.equal(path('repo'), resolve('repo'));
  assert.equal(path('file:///srv/my%20repo'), '/srv/my repo');
  assert.equal(path('odd:name'), resolve('odd:name'));
});

test('other repositories are refused without repeating what may be a secret', () => {
  for (const text of [
    's3://key:hunter2@bucket/p',
    'https://u:hunter2@host',
    'file://hunter2/x',
    'file:hunter2',
    '',
    'a\0b',
  ]) {
    assert.throws(
      () => parseRepositoryUrl(text),
      (error) => hasCode(error, 'blob-location') && !error.message.includes('hunter2'),
      text,
    );
  }
  assert.throws(() => parseRepositoryUrl('s3://bucket'), /unsupported in this version/);
});
