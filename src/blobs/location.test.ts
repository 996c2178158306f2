import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '../std/dray-error.ts';
import { describeLocation, parseRepositoryUrl } from './location.ts';

const options = { region: undefined, tls: true };

test('a repository is a path, a file URL or an S3 URL', () => {
  const described = (text: string): string => describeLocation(parseRepositoryUrl(text, options));
  assert.equal(described('/srv/repo'), '/srv/repo');
  assert.equal(described('repo'), resolve('repo'));
  assert.equal(described('file:///srv/my%20repo'), '/srv/my repo');
  assert.equal(described('file:///srv/repo/'), '/srv/repo');
  assert.equal(described('odd:name'), resolve('odd:name'));
  assert.equal(parseRepositoryUrl('s3://bucket/folder', options).kind, 's3');
  assert.equal(described('S3://bucket/folder'), 's3://bucket/folder/');
});

test('other repositories are refused without repeating what may be a secret', () => {
  for (const text of [
    's3://key:hunter2@bucket/p',
    's3://bucket/p?password=hunter2',
    's3://bucket/p?hunter2=x',
    's3://bucket/p?endpoint=https://u:hunter2@host',
    's3://bucket:99999999/hunter2',
    'https://u:hunter2@host',
    'file://hunter2/x',
    'file:hunter2',
    '',
    'a\0b',
  ]) {
    assert.throws(
      () => parseRepositoryUrl(text, options),
      (error) => hasCode(error, 'blob-location') && !error.message.includes('hunter2'),
      text,
    );
  }
});
