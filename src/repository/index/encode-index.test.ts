import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { blobId } from '../../blobs/blob-store.ts';
import { hasCode } from '../../std/dray-error.ts';
import { contentId } from '../content/content-id.ts';
import { encodeIndex, sortedUnique } from './encode-index.ts';
import type { IndexEntry } from './index-entry.ts';
import { anyEntry, spread } from './index-fixtures.ts';
import { IndexTable } from './index-table.ts';

const session = 's0123456789abcdef123';
const example: readonly IndexEntry[] = [
  {
    contentId: contentId('kffeeddccbbaa99887766554433221100'),
    packBlob: blobId(`q${'aa'.repeat(16)}-${session}`),
    packOffset: 32,
    packedLength: 500,
    originalLength: 1000,
    compression: 0x1101,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: false,
    timestampSeconds: 1_700_000_001,
  },
  {
    contentId: contentId('00112233445566778899aabbccddeeff'),
    packBlob: blobId(`p${'bb'.repeat(16)}-${session}`),
    packOffset: 4096,
    packedLength: 33,
    originalLength: 5,
    compression: 0,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: true,
    timestampSeconds: 1_700_000_000,
  },
];

test('index > the worked example of the format comes out byte for byte', () => {
  const bytes = Buffer.from(encodeIndex(example, { version: 2, hashLengthBytes: 16 }));
  assert.equal(bytes.length, 215);
  assert.equal(
    bytes.subarray(0, 107).toString('hex'),
    '02110011000000020000000202000000000000112233445566778899aabbccddeeff6553f1008000100000000500002100' +
      '00006bffeeddccbbaa998877665544332211006553f101000000200003e80001f4000101360000006b36000000a1000000' +
      '000300000011010300',
  );
  assert.equal(bytes.subarray(107).toString('latin1'), `${example[1]!.packBlob}${example[0]!.packBlob}`);
  assert.deepEqual([...IndexTable.inMemory(bytes).entries()], [example[1], example[0]]);
});

for (const version of [1, 2] as const) {
  for (const hashLengthBytes of [1, 16, 32]) {
    test(`index > version ${version} with hashes of ${hashLengthBytes} bytes gives back what went in`, () => {
      const entries = fc.array(anyEntry({ version, hashLengthBytes }), { minLength: 1, maxLength: 300 });
      fc.assert(
        fc.property(entries, (written) => {
          const table = IndexTable.inMemory(encodeIndex(written, { version, hashLengthBytes }));
          assert.deepEqual([...table.entries()], sortedUnique(written));
        }),
      );
    });
  }
}

test('index > values are as short as the entries allow', () => {
  const valueBytes = (entries: readonly IndexEntry[]): number =>
    encodeIndex(entries, { version: 2, hashLengthBytes: 16 })[3]!;
  const plain = example[1]!;
  assert.equal(valueBytes([plain]), 16);
  assert.equal(valueBytes(example), 17);
  assert.equal(valueBytes([{ ...plain, originalLength: 2 ** 24 }]), 19);
});

test('index > more than 65,536 packs need the longer pack number, and each entry finds its pack', () => {
  const entries = Array.from({ length: 65_537 }, (_, i) => ({
    ...example[1]!,
    contentId: contentId(i.toString(16).padStart(32, '0')),
    packBlob: blobId(`p${i}`),
  }));
  const bytes = encodeIndex(entries, { version: 2, hashLengthBytes: 16 });
  assert.equal(bytes[3], 18);
  const table = IndexTable.inMemory(bytes);
  let next = 0;
  for (const entry of table.entries()) assert.equal(entry.packBlob, `p${next++}`);
  assert.equal(next, entries.length);
});

test('index > of duplicates the better one is written', () => {
  const older = example[1]!;
  const living = { ...older, deleted: false };
  const [entry] = IndexTable.inMemory(encodeIndex([older, living], { version: 2, hashLengthBytes: 16 })).entries();
  assert.deepEqual(entry, living);
});

test('index > a time past the format is refused and not cut', () => {
  const late = { ...example[0]!, timestampSeconds: 2 ** 32 };
  assert.throws(
    () => encodeIndex([late], { version: 2, hashLengthBytes: 16 }),
    (error) => hasCode(error, 'corrupt'),
  );
});

test('index > version 1 takes no compressed content', () => {
  assert.throws(
    () => encodeIndex([example[0]!], { version: 1, hashLengthBytes: 16 }),
    (error) => hasCode(error, 'corrupt'),
  );
});

/** Everything that can be asked of an index; nothing but `corrupt` may come out. */
function readAll(bytes: Uint8Array): void {
  try {
    const table = IndexTable.inMemory(bytes);
    let entries = 0;
    for (const entry of table.entries()) {
      contentId(entry.contentId);
      if (++entries > bytes.length) assert.fail('more entries than bytes');
    }
    table.find(Buffer.concat([Buffer.of(0), spread(1, table.layout.keySize - 1)]));
  } catch (error) {
    if (!hasCode(error, 'corrupt')) throw error;
  }
}

test('index > any bytes are an index or corrupt', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), readAll), { numRuns: 500 });
  const headed = fc.tuple(fc.constantFrom(1, 2), fc.constantFrom(2, 17, 33, 255), fc.uint8Array({ maxLength: 400 }));
  fc.assert(
    fc.property(headed, fc.constantFrom(16, 17, 19, 20), ([version, keySize, rest], size) => {
      readAll(Uint8Array.from([version, keySize, 0, size, 0, 0, 0, ...rest]));
    }),
    { numRuns: 2000 },
  );
});

test('index > an entry that names a pack or format past the tables is corrupt', () => {
  const whole = encodeIndex(example, { version: 2, hashLengthBytes: 16 });
  for (const at of [17 + 17 + 15, 17 + 17 + 16]) {
    const damaged = whole.map((byte, i) => (i === at ? 2 : byte));
    assert.throws(
      () => [...IndexTable.inMemory(damaged).entries()],
      (error) => hasCode(error, 'corrupt') && / of 2/.test(error.message),
    );
  }
});

test('index > any damaged index is an index or corrupt', () => {
  const index = encodeIndex(example, { version: 2, hashLengthBytes: 16 });
  const old = encodeIndex([example[1]!], { version: 1, hashLengthBytes: 16 });
  for (const whole of [index, old]) {
    for (let at = 0; at < whole.length; at++) {
      readAll(whole.subarray(0, at));
      for (const flip of [1, 0x80, 0xff]) readAll(whole.map((byte, i) => (i === at ? byte ^ flip : byte)));
    }
  }
});
