import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { seededRng } from '../../std/rng.ts';
import { parseJson, type JsonValue } from '../../std/lossless-json.ts';
import { stringifyJson } from '../../std/write-json.ts';
import { RepositoryError } from '../repository-error.ts';
import { defaultEpochs, parseContentFormat, type ContentFormat } from './content-format.ts';
import { newFormatJson } from './new-format.ts';
import { fixedSplitterSizeBytes, isSplitterName } from './splitter-name.ts';

const nowMs = Date.parse('2026-06-01T12:00:00Z');
const plainJson = stringifyJson(newFormatJson({}, seededRng(1)));

/** The format of a new repository with members replaced (or removed, by undefined). */
function parse(members: Record<string, unknown> = {}): ContentFormat {
  const { format } = JSON.parse(plainJson) as { readonly format: object };
  return parseContentFormat(parseJson(JSON.stringify({ format: { ...format, ...members } })), { nowMs });
}

const coded = (code: RepositoryError['code'], message = /./): object => ({ name: 'RepositoryError', code, message });

describe('content format', () => {
  it('has the defaults of the design', () => {
    const format = parse();
    assert.equal(format.secret.length, 32);
    assert.equal(format.masterKey.length, 32);
    assert.notDeepEqual(format.secret, format.masterKey);
    const { secret: _, masterKey: __, ...rest } = format;
    assert.deepEqual(rest, {
      hash: 'BLAKE3-256',
      encryption: 'AES256-GCM-HMAC-SHA256',
      version: 3,
      indexVersion: 2,
      maxPackSizeBytes: 20 * 1024 * 1024,
      packHead: new Uint8Array(),
      splitter: 'DYNAMIC-4M-BUZHASH',
      epochs: defaultEpochs,
      eccOverheadPercent: 0,
      enablePasswordChange: true,
    });
  });

  it('has as many bytes of JSON as a default repository of Kopia, and survives structured cloning', () => {
    const likeKopia = newFormatJson({ hash: 'BLAKE2B-256-128' }, seededRng(1));
    assert.equal(stringifyJson(likeKopia).length, 579);
    assert.deepEqual(structuredClone(parse()), parse());
  });

  it('reads keys in any case, ignores what it does not know, and treats null as absent', () => {
    const text = plainJson.replace('"hash"', '"HASH"').replace('"EpochRefreshFrequency"', '"epochrefreshfrequency"');
    const more = text.replace('"splitter"', '"later":{"x":[1]},"ecc":null,"upgradeLock":null,"splitter"');
    assert.deepEqual(parseContentFormat(parseJson(more), { nowMs }), parse());
  });

  it('fills in what old repositories leave at zero', () => {
    const format = parse({ maxPackSize: 0, indexVersion: undefined, splitter: '', secret: undefined });
    assert.equal(format.maxPackSizeBytes, 20 * 1024 * 1024);
    assert.equal(format.indexVersion, 1);
    assert.equal(format.splitter, 'FIXED');
    assert.equal(format.secret.length, 0);
  });

  it('names the setting that it does not support', () => {
    assert.throws(() => parse({ hash: 'MD5' }), coded('unsupported', /MD5/));
    assert.throws(() => parse({ hash: 'constructor' }), coded('unsupported', /constructor/));
    assert.throws(() => parse({ encryption: 'NONE' }), coded('unsupported', /NONE/));
    assert.throws(() => parse({ ecc: 'HAMMING', eccOverheadPercent: 2 }), coded('unsupported', /HAMMING/));
    const ecc = { ecc: 'REED-SOLOMON-CRC32', eccOverheadPercent: 2 };
    assert.throws(() => parse({ ...ecc, indexVersion: 1 }), coded('unsupported', /index version 1/));
    assert.throws(() => parse({ ...ecc, eccOverheadPercent: 101 }), coded('corrupt', /101 %/));
    assert.equal(parse({ splitter: 'SOMETHING-NEW' }).splitter, 'SOMETHING-NEW');
  });

  it('knows error correction, which format version 1 has not, and an index without epochs', () => {
    const ecc = { ecc: 'REED-SOLOMON-CRC32', eccOverheadPercent: 2 };
    assert.equal(parse(ecc).eccOverheadPercent, 2);
    assert.equal(parse({ ...ecc, eccOverheadPercent: 0 }).eccOverheadPercent, 0);
    const old = parse({ ...ecc, version: 1, epochParameters: { Enabled: false } });
    assert.deepEqual([old.version, old.eccOverheadPercent, old.epochs.enabled], [1, 0, false]);
  });

  it('refuses newer versions and features that it does not know', () => {
    for (const version of [0, -1, 4, 1000]) assert.throws(() => parse({ version }), coded('repository-version'));
    assert.throws(() => parse({ indexVersion: 3 }), coded('repository-version'));
    const feature = { feature: 'index-v9', ifNotUnderstood: { warn: false } };
    assert.throws(() => parse({ requiredFeatures: [feature] }), coded('repository-version', /index-v9/));
    parse({ requiredFeatures: [{ feature: 'index-v2' }, { ...feature, ifNotUnderstood: { warn: true } }] });
  });

  it('stays out from the announced time of an upgrade less two drain times', () => {
    const hourNs = 3_600e9;
    const lock = { ownerID: 'o', maxPermittedClockDrift: hourNs, ioDrainTimeout: hourNs, advanceNoticeDuration: 0 };
    const at = (creationTime: string, noticeHours: number): ContentFormat =>
      parse({ upgradeLock: { ...lock, creationTime, advanceNoticeDuration: noticeHours * hourNs } });
    const locked = coded('repository-locked');
    assert.throws(() => at('2026-06-01T11:59:59.999999999Z', 0), locked);
    assert.throws(() => at('2026-06-01T12:00:00Z', 2), locked);
    assert.throws(() => at('2026-06-01T12:00:00Z', 3), locked);
    at('2026-06-01T12:00:00Z', 4);
    assert.throws(() => at('2026-06-01T11:00:00Z', 4), locked);
    assert.throws(() => at('no time', 100), locked);
    // Too short a notice locks at once, also where the other's clock is ahead.
    assert.throws(() => at('2026-06-02T12:00:00Z', 2), locked);
  });

  it('calls malformed settings corrupt and never repeats a key in the message', () => {
    const secret = Buffer.alloc(32, 'S').toString('base64');
    for (const members of [
      { masterKey: undefined },
      { masterKey: `${secret}!` },
      { masterKey: 7 },
      { secret: { secret } },
      { version: '3' },
      { version: 2.5 },
      { maxPackSize: -1 },
      { maxPackSize: 2 ** 40 },
      { epochParameters: { Enabled: 1 } },
      { requiredFeatures: {} },
    ]) {
      assert.throws(
        () => parse(members),
        (error: unknown) => {
          assert.ok(error instanceof RepositoryError && error.code === 'corrupt', JSON.stringify(members));
          return !error.message.includes(secret);
        },
      );
    }
  });

  it('answers any JSON with a format or a RepositoryError', () => {
    const keys = Object.keys((JSON.parse(plainJson) as { format: object }).format);
    const members = fc.dictionary(fc.constantFrom(...keys, 'upgradeLock', 'requiredFeatures', 'ecc'), fc.jsonValue());
    const attempt = (value: JsonValue): void => {
      try {
        parseContentFormat(value, { nowMs });
      } catch (error) {
        assert.ok(error instanceof RepositoryError, String(error));
      }
    };
    fc.assert(fc.property(fc.json(), (text) => attempt(parseJson(text))));
    fc.assert(fc.property(members, (format) => attempt(parseJson(JSON.stringify({ format })))));
  });
});

describe('new format', () => {
  it("keeps to Kopia's limits", () => {
    const refused = (options: Parameters<typeof newFormatJson>[0]): void =>
      assert.throws(() => newFormatJson(options, seededRng(1)), coded('unsupported'));
    refused({ splitter: 'FIXED-3M' });
    refused({ maxPackSizeBytes: 10 * 1024 * 1024 - 1 });
    refused({ maxPackSizeBytes: 120 * 1024 * 1024 + 1 });
    refused({ epochs: { ...defaultEpochs, enabled: false } });
    refused({ epochs: { ...defaultEpochs, minEpochDurationMs: 9 * 60_000 } });
    refused({ epochs: { ...defaultEpochs, refreshFrequencyMs: defaultEpochs.minEpochDurationMs / 3 + 1 } });
    refused({ epochs: { ...defaultEpochs, cleanupSafetyMarginMs: 3 * defaultEpochs.refreshFrequencyMs - 1 } });
    refused({ epochs: { ...defaultEpochs, fullCheckpointFrequency: 0 } });
    refused({ epochs: { ...defaultEpochs, advanceOnCount: 9 } });
    refused({ epochs: { ...defaultEpochs, advanceOnTotalSizeBytes: 1024 * 1024 - 1 } });
  });

  it('writes what it was asked for', () => {
    const epochs = { ...defaultEpochs, refreshFrequencyMs: 60_000, advanceOnCount: 10 };
    const asked = {
      hash: 'HMAC-SHA256',
      encryption: 'CHACHA20-POLY1305-HMAC-SHA256',
      splitter: 'FIXED-1M',
      version: 2,
      indexVersion: 1,
      maxPackSizeBytes: 50 * 1024 * 1024,
      epochs,
    } as const;
    const { secret: _, masterKey: __, ...found } = parseContentFormat(newFormatJson(asked, seededRng(2)), { nowMs });
    assert.deepEqual(found, {
      ...asked,
      packHead: new Uint8Array(),
      eccOverheadPercent: 0,
      enablePasswordChange: true,
    });
  });
});

describe('splitter name', () => {
  it('knows the size of the fixed ones', () => {
    assert.equal(fixedSplitterSizeBytes('FIXED'), 4 * 1024 * 1024);
    assert.equal(fixedSplitterSizeBytes('FIXED-128K'), 128 * 1024);
    assert.equal(fixedSplitterSizeBytes('FIXED-8M'), 8 * 1024 * 1024);
    for (const name of ['DYNAMIC', 'DYNAMIC-1M-BUZHASH', 'FIXED-3M', 'FIXED-', '', 'constructor']) {
      assert.equal(fixedSplitterSizeBytes(name), undefined);
    }
  });

  it("knows Kopia's names and no others", () => {
    for (const name of ['FIXED', 'DYNAMIC', 'FIXED-2M', 'DYNAMIC-512K-RABINKARP']) assert.ok(isSplitterName(name));
    for (const name of ['', 'FIXED-9M', 'DYNAMIC-4M', 'DYNAMIC-4M-FOO', 'fixed']) assert.ok(!isSplitterName(name));
  });
});
