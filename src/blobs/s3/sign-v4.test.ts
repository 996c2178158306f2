/** The four examples of Amazon's "Signature Calculations for the Authorization Header", with the signatures printed there. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { emptyPayloadHash, encodeKey, type RequestToSign, SignerV4 } from './sign-v4.ts';

const keys = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
const when = { keys, region: 'us-east-1', nowMs: Date.parse('2013-05-24T00:00:00Z') };
const host = 'examplebucket.s3.amazonaws.com';
const plain: RequestToSign = { method: 'GET', path: '/', query: {}, headers: { host }, payloadHash: emptyPayloadHash };

function signatureOf(request: Partial<RequestToSign>): string {
  const { authorization = '' } = new SignerV4().sign({ ...plain, ...request }, when);
  assert.match(
    authorization,
    /^AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE\/20130524\/us-east-1\/s3\/aws4_request, /,
  );
  return authorization.slice(-64);
}

test('a ranged GET is signed as Amazon signs it', () => {
  const signature = signatureOf({ path: '/test.txt', headers: { host, range: 'bytes=0-9' } });
  assert.equal(signature, 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41');
});

test('a PUT with a payload and a key that needs encoding is signed as Amazon signs it', () => {
  const signature = signatureOf({
    method: 'PUT',
    path: encodeKey('/test$file.text'),
    headers: { host, date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
    payloadHash: createHash('sha256').update('Welcome to Amazon S3.').digest('hex'),
  });
  assert.equal(signature, '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd');
});

test('queries without and with values are signed as Amazon signs them', () => {
  const lifecycle = signatureOf({ query: { lifecycle: '' } });
  assert.equal(lifecycle, 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543');
  const list = signatureOf({ query: { prefix: 'J', 'max-keys': '2' } });
  assert.equal(list, '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7');
});

test('the token of temporary credentials is sent and signed, and another secret or day makes another signature', () => {
  const signer = new SignerV4();
  const first = signer.sign(plain, when);
  const token = signer.sign(plain, { ...when, keys: { ...keys, sessionToken: 'a token' } });
  assert.equal(token['x-amz-security-token'], 'a token');
  assert.match(token['authorization'] ?? '', /SignedHeaders=[^,]*;x-amz-security-token,/);
  const secret = signer.sign(plain, { ...when, keys: { ...keys, secretAccessKey: 'another' } });
  const later = signer.sign(plain, { ...when, nowMs: when.nowMs + 86_400_000 });
  assert.equal(new Set([first, token, secret, later].map((headers) => headers['authorization']?.slice(-64))).size, 4);
  assert.deepEqual(signer.sign(plain, when), first);
});
