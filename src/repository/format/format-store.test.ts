import { blobcfgId } from './read-format.ts';
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { BlobError, blobId, type BlobStore } from '../../blobs/blob-store.ts';
import { MemoryStore } from '../../blobs/memory-store.ts';
import { systemClock as clock } from '../../std/clock.ts';
import { DrayError } from '../../std/dray-error.ts';
import { seededRng } from '../../std/rng.ts';
import { formatEnvelopeKey, openEnvelope, sealEnvelope } from './envelope.ts';
import { decodeFormatBlob, formatBlobId, withSealedConfig } from './format-blob.ts';
import { openFixture, readFixture, storeOf } from './format-fixtures.ts';
import { changePassword, createFormat, openFormat } from './format-store.ts';
import { deriveFormatKey, purposeKey } from './key-derivation.ts';
import { maintenanceBlobId, openMaintenance, sealMaintenance } from './maintenance-blob.ts';

const { signal } = new AbortController();
const rng = seededRng(7);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const empty = (): MemoryStore => new MemoryStore({ clock });
const open = (store: BlobStore, password: string) => openFormat(store, { password, clock, signal });

/** The store with one method replaced. */
function withMember<K extends keyof BlobStore>(store: BlobStore, key: K, member: BlobStore[K]): BlobStore {
  return new Proxy(store, {
    get(target, name) {
      if (name === key) return member;
      const original: unknown = Reflect.get(target, name, target);
      return typeof original === 'function' ? (original.bind(target) as unknown) : original;
    },
  });
}

describe('opening a format', () => {
  // The tests of the content codec open every fixture; deriving a key takes its time.
  const kinds = ['format-v1', 'format-v1-upgraded', 'format-v2', 'ecc-1', 'index-v1-with-epochs', 'key-pbkdf2'];
  for (const name of [...kinds, 'kopia-0.13', 'maintained', 'password-changed', 'velero-1.18-fs', 'large-file']) {
    it(`opens what Kopia wrote: ${name}`, async () => {
      const fixture = readFixture(name);
      const { expected } = fixture;
      const opened = await openFixture(fixture);
      assert.equal(hex(opened.uniqueId), expected.uniqueIDHex);
      assert.equal(opened.retention, undefined);
      const { format } = opened;
      const { hash, encryption, version, maxPackSize, splitter, enablePasswordChange } = expected.format;
      assert.deepEqual(
        [format.hash, format.encryption, format.version, format.maxPackSizeBytes, format.splitter],
        [hash, encryption, version, maxPackSize, splitter],
      );
      assert.equal(format.enablePasswordChange, enablePasswordChange);
      const maintenance = fixture.blobs.get(maintenanceBlobId);
      if (maintenance !== undefined) assert.ok(JSON.parse(openMaintenance(opened, maintenance)));
    });
  }

  it('tells a wrong password from a damaged blob and from no repository', async () => {
    const fixture = readFixture('password-changed');
    await assert.rejects(openFixture(fixture, 'fixture password 1'), { code: 'repository-password' });
    await assert.rejects(open(empty(), 'x'), { code: 'repository-missing' });
    const foreign = await storeOf(new Map([[blobId('readme'), Buffer.from('hello')]]));
    await assert.rejects(open(foreign, 'x'), { code: 'repository-foreign' });
    for (const text of ['', 'hello', '7', '{}', '{"uniqueID":"?"}', '[]']) {
      const store = await storeOf(new Map([[formatBlobId, Buffer.from(text)]]));
      await assert.rejects(open(store, 'x'), { code: 'repository-foreign' });
    }
    const huge = await storeOf(new Map([[formatBlobId, new Uint8Array(1024 * 1024 + 1)]]));
    await assert.rejects(open(huge, 'x'), { code: 'repository-foreign' });
  });

  it('names an unknown envelope and key derivation', async () => {
    const text = Buffer.from(readFixture('format-v2').blobs.get(formatBlobId)!).toString();
    for (const [from, to] of [
      ['AES256_GCM', 'ROT13'],
      ['scrypt-65536-8-1', 'md5-once'],
    ] as const) {
      const store = await storeOf(new Map([[formatBlobId, Buffer.from(text.replace(from, to))]]));
      await assert.rejects(open(store, 'x'), { code: 'unsupported', message: new RegExp(to) });
    }
  });

  it('answers mutated format blobs with a DrayError', async () => {
    const { blobs, expected } = readFixture('format-v2');
    const formatBlobs = [...blobs].filter(([id]) => id === formatBlobId || id === blobcfgId);
    const change = fc.record({
      id: fc.constantFrom(formatBlobId, blobcfgId),
      at: fc.nat(),
      bytes: fc.uint8Array({ maxLength: 4 }),
      removed: fc.nat({ max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ id, at, bytes, removed }) => {
        const original = Buffer.from(blobs.get(id)!);
        const from = at % original.length;
        const mutated = Buffer.concat([original.subarray(0, from), bytes, original.subarray(from + removed)]);
        const store = await storeOf(new Map([...formatBlobs, [id, mutated]]));
        try {
          await open(store, expected.password);
        } catch (error) {
          assert.ok(error instanceof DrayError, String(error));
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('creating a format', () => {
  it('makes an empty store a repository that opens with the password only', async () => {
    const store = empty();
    const created = await createFormat(store, { password: 'pass wörd', rng, signal });
    const opened = await open(store, 'pass wörd');
    assert.deepEqual(opened.format, created.format);
    assert.deepEqual(opened.uniqueId, created.uniqueId);
    assert.deepEqual(opened.deriveKey('p', 16), created.deriveKey('p', 16));
    assert.equal(opened.format.hash, 'BLAKE3-256');
    await assert.rejects(open(store, 'pass word'), { code: 'repository-password' });
    const ids: string[] = [];
    for await (const { id } of store.list('', { signal })) ids.push(id);
    assert.deepEqual(ids.toSorted(), ['kopia.blobcfg', 'kopia.repository']);
  });

  it('takes every option', async () => {
    const store = empty();
    const options = { hash: 'BLAKE2S-256', version: 2, keyDerivation: 'pbkdf2-sha256-600000' } as const;
    await createFormat(store, { password: 'x', options, rng, signal });
    const { format } = await open(store, 'x');
    assert.deepEqual([format.hash, format.version], ['BLAKE2S-256', 2]);
    assert.equal(decodeFormatBlob(await store.get(formatBlobId, { signal })).keyDerivation, options.keyDerivation);
  });

  it('refuses a store that is not empty and writes nothing to it', async () => {
    const before = new Map([[blobId('something'), Buffer.from('x')]]);
    const store = await storeOf(before);
    await assert.rejects(createFormat(store, { password: 'x', rng, signal }), { code: 'repository-foreign' });
    await assert.rejects(store.stat(blobcfgId, { signal }), { code: 'blob-not-found' });
    const existing = await storeOf(readFixture('format-v2').blobs);
    await assert.rejects(createFormat(existing, { password: 'x', rng, signal }), { code: 'repository-exists' });
    const halfway = await storeOf(new Map([[blobcfgId, Buffer.from('x')]]));
    await assert.rejects(createFormat(halfway, { password: 'x', rng, signal }), { code: 'repository-foreign' });
  });

  it('does not replace a repository that appeared after the look', async () => {
    const store = await storeOf(new Map([[formatBlobId, Buffer.from('another one')]]));
    const blind = withMember(store, 'list', () => (async function* () {})());
    await assert.rejects(createFormat(blind, { password: 'x', rng, signal }), { code: 'repository-exists' });
    assert.equal(Buffer.from(await store.get(formatBlobId, { signal })).toString(), 'another one');
  });

  it('lets one of two that create at once win', async () => {
    const store = empty();
    const attempt = (password: string) => createFormat(store, { password, rng, signal });
    const results = await Promise.allSettled([attempt('one'), attempt('two')]);
    const won = results.findIndex(({ status }) => status === 'fulfilled');
    const lost = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as DrayError] : []));
    assert.deepEqual(
      lost.map(({ code }) => code),
      ['repository-exists'],
    );
    await open(store, won === 0 ? 'one' : 'two');
  });
});

describe('deriving keys', () => {
  it('starts at the password where Kopia 0.8 made the repository, else at the master key', async () => {
    for (const [name, fromPassword] of [
      ['format-v1-upgraded', true],
      ['format-v2', false],
    ] as const) {
      const { formatKey, format, uniqueId, deriveKey } = await openFixture(readFixture(name));
      const root = fromPassword ? formatKey : format.masterKey;
      assert.deepEqual(deriveKey('some use', 20), purposeKey(root, { uniqueId, purpose: 'some use', lengthBytes: 20 }));
    }
  });
});

describe('changing a password', () => {
  const change = (store: BlobStore, password: string, newPassword: string) =>
    changePassword(store, { password, newPassword, clock, rng, signal });

  it('keeps keys and settings, and members that nobody here knows', async () => {
    const { blobs, expected } = readFixture('format-v2');
    const shell = Buffer.from(blobs.get(formatBlobId)!).toString().replace('{', '{\n  "later": 9223372036854775807,');
    const store = await storeOf(new Map([...blobs, [formatBlobId, Buffer.from(shell)]]));
    const before = await open(store, expected.password);
    const configBefore = await configOf(store, expected.password);
    await change(store, expected.password, 'new ü');
    const after = await open(store, 'new ü');
    assert.deepEqual(after.format, before.format);
    assert.equal(await configOf(store, 'new ü'), configBefore);
    await assert.rejects(open(store, expected.password), { code: 'repository-password' });
    const text = Buffer.from(await store.get(formatBlobId, { signal })).toString();
    assert.match(text, /"later": 9223372036854775807,/);
    assert.deepEqual(after.deriveKey('maintenance schedule', 32), before.deriveKey('maintenance schedule', 32));
  });

  it('does not need to know what is in the configuration to keep it', async () => {
    const store = empty();
    const { formatKey, uniqueId } = await createFormat(store, { password: 'a', rng, signal });
    const blob = decodeFormatBlob(await store.get(formatBlobId, { signal }));
    const key = formatEnvelopeKey(formatKey, uniqueId);
    const config = (await configOf(store, 'a')).replace(
      '{"format":{',
      '{"x": 1.10, "format":{"y":9223372036854775807,',
    );
    await store.put(formatBlobId, withSealedConfig(blob, sealEnvelope(key, Buffer.from(config), rng)), { signal });
    await change(store, 'a', 'b');
    assert.equal(await configOf(store, 'b'), config);
  });

  it('refuses a wrong password and a repository whose keys hang on the password', async () => {
    const { blobs, expected } = readFixture('format-v1-upgraded');
    const old = await storeOf(blobs);
    await assert.rejects(change(old, expected.password, 'b'), { code: 'unsupported' });
    await assert.rejects(change(old, 'wrong', 'b'), { code: 'repository-password' });
    await open(old, expected.password);
  });

  it('is finished by the same call after it was cut off between the two blobs', async () => {
    const store = empty();
    await createFormat(store, { password: 'a', rng, signal });
    const failing = withMember(store, 'put', async (...args: Parameters<BlobStore['put']>) => {
      if (args[0] === formatBlobId) throw new BlobError('blob-unavailable', 'cut off');
      return await store.put(...args);
    });
    await assert.rejects(change(failing, 'a', 'b'), { code: 'blob-unavailable' });
    await assert.rejects(open(store, 'a'), { code: 'repository-password', message: /password change/ });
    await change(store, 'a', 'b');
    await open(store, 'b');
  });

  async function configOf(store: BlobStore, password: string): Promise<string> {
    const blob = decodeFormatBlob(await store.get(formatBlobId, { signal }));
    const key = formatEnvelopeKey(await deriveFormatKey(password, blob), blob.uniqueId);
    return Buffer.from(openEnvelope(key, blob.sealedConfig)!).toString();
  }
});

describe('the other blobs under keys of the format', () => {
  it('reads retention from kopia.blobcfg', async () => {
    const store = empty();
    const { formatKey, uniqueId } = await createFormat(store, { password: 'a', rng, signal });
    const seal = (json: string): Uint8Array =>
      sealEnvelope(formatEnvelopeKey(formatKey, uniqueId), Buffer.from(json), rng);
    await store.put(blobcfgId, seal('{"retentionMode":"GOVERNANCE","retentionPeriod":86400000000000}'), { signal });
    assert.deepEqual((await open(store, 'a')).retention, { mode: 'GOVERNANCE', periodMs: 86_400_000 });
    for (const json of ['{', '{"retentionPeriod":"1"}', '7']) {
      await store.put(blobcfgId, seal(json), { signal });
      await assert.rejects(open(store, 'a'), { code: 'corrupt' });
    }
    await store.remove(blobcfgId, { signal });
    assert.equal((await open(store, 'a')).retention, undefined);
  });

  it('carries the maintenance schedule as the text that it is', async () => {
    const opened = await createFormat(empty(), { password: 'a', rng, signal });
    const json = '{"nextFullMaintenance":"2026-01-01T00:00:00.000000001+02:00","later":9223372036854775807}';
    const sealed = sealMaintenance(opened, json, rng);
    assert.equal(openMaintenance(opened, sealed), json);
    sealed[20]! ^= 1;
    assert.throws(() => openMaintenance(opened, sealed), { code: 'corrupt' });
    assert.throws(() => openMaintenance(opened, new Uint8Array(27)), { code: 'corrupt' });
  });
});
