import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { deriveFormatKey, hkdf, purposeKey } from './key-derivation.ts';

const uniqueId = Uint8Array.from({ length: 32 }, (_, at) => at);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('key derivation', () => {
  it("expands keys as Kopia's own tests do", () => {
    const key = Buffer.from('ABCDEFGHIJKLMNOP');
    const salt = Buffer.from('0123456789012345');
    const derived = hkdf({ key, salt, info: 'the-test-purpose', lengthBytes: 32 });
    assert.equal(hex(derived), '828769ee8969bc37f11dbaa32838f8db6c19daa6e3ae5f5eed2da2d94d8faddb');
  });

  it('derives the format key by scrypt, and the envelope keys from it', async () => {
    const key = await deriveFormatKey('static-passw0rd', { keyDerivation: 'scrypt-65536-8-1', uniqueId });
    assert.equal(hex(key), 'ffe609844d93eddf89ad495da77bd83e8cec100e27b03a6257d505de6e36094d');
    const aes = purposeKey(key, { uniqueId, purpose: 'AES', lengthBytes: 32 });
    assert.equal(hex(aes), '40b4dbe53119dcba4a63bfdcda08da6f0c89041d64355962e8a2076796626bc2');
    const checksum = purposeKey(key, { uniqueId, purpose: 'CHECKSUM', lengthBytes: 32 });
    assert.equal(hex(checksum), 'd0d652b890ca4d62b340f8466bb95997f7a4a61a1c005a5c7153601dea229045');
  });

  it('derives the format key by PBKDF2', async () => {
    const key = await deriveFormatKey('static-passw0rd', { keyDerivation: 'pbkdf2-sha256-600000', uniqueId });
    assert.equal(hex(key), '518d6d7b82de0409ec8e6ac75d7c8bbffc679b706969d9122bf26bfdccaa034b');
  });

  it('derives the key of the maintenance blob', () => {
    const masterKey = Uint8Array.from({ length: 32 }, (_, at) => 0x40 + at);
    const key = purposeKey(masterKey, { uniqueId, purpose: 'maintenance schedule', lengthBytes: 32 });
    assert.equal(hex(key), 'df3abcb527a008fb8f3b8fe556f35133a44bdfe1f801920f6875b2ad1686b17d');
  });

  it('names a derivation that it does not know, and refuses a short salt', async () => {
    const unknown = deriveFormatKey('x', { keyDerivation: 'testing-only-insecure', uniqueId });
    await assert.rejects(unknown, { code: 'unsupported', message: /testing-only-insecure/ });
    const short = deriveFormatKey('x', { keyDerivation: 'scrypt-65536-8-1', uniqueId: new Uint8Array(15) });
    await assert.rejects(short, { code: 'corrupt' });
  });
});
