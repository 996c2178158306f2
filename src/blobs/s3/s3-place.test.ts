import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../std/dray-error.ts';
import { describeS3Place, parseS3Url, type S3Place } from './s3-place.ts';

const parse = (text: string, { tls = true, region }: { tls?: boolean; region?: string } = {}): S3Place =>
  parseS3Url(text, { tls, region });

test('a bucket alone is on AWS, addressed by its host name, in the region of the environment', () => {
  assert.deepEqual(parse('s3://backups', { region: 'eu-west-3' }), {
    kind: 's3',
    bucket: 'backups',
    prefix: '',
    endpoint: undefined,
    region: 'eu-west-3',
    pathStyle: false,
    caFile: undefined,
  });
  assert.equal(parse('s3://backups').region, 'us-east-1');
  assert.equal(parse('s3://backups?region=ap-south-1', { region: 'eu-west-3' }).region, 'ap-south-1');
});

test('everything can be said in the URL', () => {
  const text =
    's3://Backups/a/b%20c?endpoint=https://minio.example:9000&region=r-1&path-style=false&ca=keys/ca.pem&exact-prefix=true';
  assert.deepEqual(parse(text), {
    kind: 's3',
    bucket: 'Backups',
    prefix: 'a/b c',
    endpoint: 'https://minio.example:9000',
    region: 'r-1',
    pathStyle: false,
    caFile: resolve('keys/ca.pem'),
  });
});

test('the path is a folder, as Kopia advises and Velero does, unless it is to be taken to the letter', () => {
  assert.equal(parse('s3://b/').prefix, '');
  assert.equal(parse('s3://b/kopia/shop').prefix, 'kopia/shop/');
  assert.equal(parse('s3://b/kopia/shop/').prefix, 'kopia/shop/');
  assert.equal(parse('s3://b/kopia-?exact-prefix=true').prefix, 'kopia-');
  for (const prefix of ['a//b', 'a/%00', 'a%0Ab', '/a', 'x'.repeat(600), '%zz', 'a/%2E%2E%2Fb']) {
    assert.throws(() => parse(`s3://b/${prefix}`), { code: 'blob-location' }, prefix);
  }
});

test('other servers are addressed by path, and so are buckets with dots', () => {
  assert.equal(parse('s3://b?endpoint=minio.example:9000').endpoint, 'https://minio.example:9000');
  assert.equal(parse('s3://b?endpoint=minio.example:9000').pathStyle, true);
  assert.equal(parse('s3://b?endpoint=https://[::1]:9000').endpoint, 'https://[::1]:9000');
  assert.equal(parse('s3://b.c').pathStyle, true);
});

test('without TLS only when it is allowed', () => {
  assert.throws(() => parse('s3://b?endpoint=http://h:1'), /--no-tls/);
  assert.equal(parse('s3://b?endpoint=http://h:1', { tls: false }).endpoint, 'http://h:1');
  assert.equal(parse('s3://b?endpoint=https://h:1', { tls: false }).endpoint, 'https://h:1');
});

test('what cannot be meant is refused, and says which part', () => {
  for (const [text, message] of [
    ['s3://', /s3:\/\/BUCKET/],
    ['s3:///prefix', /s3:\/\/BUCKET/],
    ['s3://host:9000/bucket', /endpoint=/],
    ['s3://b/p#q', /no #/],
    ['s3://b?regoin=x', /no parameter "regoin"; it may have endpoint, region/],
    ['s3://b?tls=false', /no parameter "tls"/],
    ['s3://b?region=a&region=b', /region is given twice/],
    ['s3://b?region=', /region is empty/],
    ['s3://b?region=a/b', /region is a name/],
    ['s3://b?path-style=yes', /path-style is true or false/],
    ['s3://b?endpoint=ftp://h', /endpoint is https/],
    ['s3://b?endpoint=https://h/s3', /no path/],
  ] as const) {
    assert.throws(() => parse(text), { code: 'blob-location', message }, text);
  }
});

test('no text does anything but give a place or a location error', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      try {
        const place = parse(`s3://${text}`);
        assert.deepEqual(structuredClone(place), place);
        assert.ok(describeS3Place(place).startsWith(`s3://${place.bucket}/`));
      } catch (error) {
        assert.ok(hasCode(error, 'blob-location'), String(error));
      }
    }),
  );
});
