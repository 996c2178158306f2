import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import { decodeIndirect, encodeIndirect, IndirectParser } from './indirect.ts';
import type { IndirectEntry } from './indirect.ts';
import { objectId } from './object-id.ts';

/** Content x6cf1… of a list that kopia 0.23.1 wrote. */
const golden =
  '{"stream":"kopia:indirect","entries":[{"l":1698099,"o":"13ea27f9ad891ad4a2edfa983906863d"},' +
  '{"s":1698099,"l":1302081,"o":"e8ca8327cd3af5f4edbd5ed1009c525e"},' +
  '{"s":3000180,"o":"6b6eb48ca5361d06d72fe193813e42e1"}]}\n';
const goldenEntries: IndirectEntry[] = [
  { offset: 0, lengthBytes: 1_698_099, objectId: objectId('13ea27f9ad891ad4a2edfa983906863d') },
  { offset: 1_698_099, lengthBytes: 1_302_081, objectId: objectId('e8ca8327cd3af5f4edbd5ed1009c525e') },
  { offset: 3_000_180, lengthBytes: 0, objectId: objectId('6b6eb48ca5361d06d72fe193813e42e1') },
];

function inPieces(text: string, cuts: readonly number[]): IndirectEntry[] {
  const bytes = Buffer.from(text);
  const parser = new IndirectParser();
  const entries: IndirectEntry[] = [];
  let from = 0;
  for (const cut of [...cuts.map((value) => value % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]) {
    entries.push(...parser.push(bytes.subarray(from, cut)));
    from = cut;
  }
  parser.end();
  return entries;
}

function isCorrupt(text: string, cuts: readonly number[] = []): void {
  assert.throws(
    () => inPieces(text, cuts),
    (error) => hasCode(error, 'corrupt'),
    text,
  );
}

const arbitraryEntries = fc
  .array(fc.tuple(fc.nat(5_000_000), fc.constantFrom('', 'I', 'Ix', 'x'), fc.nat(255)), { minLength: 1, maxLength: 20 })
  .map((items) => {
    let offset = 0;
    return items.map(([lengthBytes, prefix, byte]): IndirectEntry => {
      const hex = byte.toString(16).padStart(2, '0').repeat(16);
      const entry = { offset, lengthBytes, objectId: objectId(prefix + hex) };
      offset += lengthBytes;
      return entry;
    });
  });

describe('indirect object', () => {
  test('prints and reads what Go prints', () => {
    assert.equal(Buffer.from(encodeIndirect(goldenEntries)).toString(), golden);
    assert.deepEqual(decodeIndirect(Buffer.from(golden)), goldenEntries);
  });

  test('reads any list from any pieces', () => {
    fc.assert(
      fc.property(arbitraryEntries, fc.array(fc.nat(), { maxLength: 12 }), (entries, cuts) => {
        const text = Buffer.from(encodeIndirect(entries)).toString();
        assert.deepEqual(inPieces(text, cuts), entries);
      }),
    );
  });

  test('goes on in the middle of a volume', () => {
    const text = '{"stream":"kopia:indirect","entries":[{"s":5,"l":2,"o":"aabb"}]}';
    assert.equal(decodeIndirect(Buffer.from(text), { startOffset: 5 })[0]!.offset, 5);
  });

  test('takes whitespace, order, case, unknown fields and escapes as Go does', () => {
    const text =
      ' {"Entries" : [\n { "O":"\\u0061abb" , "L":3, "extra":{"a":["]",{"x":"}"}]} },{"o":"aacc","l":2,"s":3}\t] , "more":[1,[2]], "STREAM":"kopia:indirect" } \n';
    const entries = [
      { offset: 0, lengthBytes: 3, objectId: 'aabb' },
      { offset: 3, lengthBytes: 2, objectId: 'aacc' },
    ];
    for (let cut = 0; cut <= text.length; cut += 1) assert.deepEqual(inPieces(text, [cut]), entries);
  });

  test('refuses what no writer writes', () => {
    const list = (entries: string): string => `{"stream":"kopia:indirect","entries":${entries}}`;
    const bad = [
      '',
      '{}',
      '[]',
      'null',
      list('[]'),
      list('null'),
      list('[ ]'),
      list('{}'),
      list('[null]'),
      list('[1]'),
      list('["a"]'),
      list('[{}]'),
      list('[{"l":1}]'),
      list('[{"l":1,"o":"xyz"}]'),
      list('[{"l":-1,"o":"aa"}]'),
      list('[{"l":1.5,"o":"aa"}]'),
      list('[{"l":"1","o":"aa"}]'),
      list('[{"l":1e300,"o":"aa"}]'),
      list('[{"s":1,"l":1,"o":"aa"}]'),
      list('[{"l":1,"o":"aa"},{"l":1,"o":"aa"}]'),
      list('[{"l":1,"o":"aa"},{"s":2,"l":1,"o":"aa"}]'),
      list('[{"l":1,"o":"aa"},]'),
      list('[,{"l":1,"o":"aa"}]'),
      list('[{"l":1,"o":"aa"},,{"s":1,"l":1,"o":"aa"}]'),
      list('[{"l":1,"o":"aa"} {"s":1,"l":1,"o":"aa"}]'),
      list('[{"l":1,"o":"aa"]}'),
      list('[{"l":1,"o":"aa"}}'),
      list('[{"l":1,"o":"aa"}]').slice(0, -1),
      `${list('[{"l":1,"o":"aa"}]')}x`,
      `${list('[{"l":1,"o":"aa"}]')}}`,
      list('[{"l":1,"o":"aa"}]').replace('indirect', 'directory'),
      '{"entries":[{"l":1,"o":"aa"}]}',
      `${'['.repeat(100_000)}`,
      `{"a":"${'x'.repeat(100_000)}"}`,
      list(`[{"o":"${'a'.repeat(100_000)}"}]`),
    ];
    for (const text of bad) {
      isCorrupt(text);
      isCorrupt(text, [Math.floor(text.length / 2)]);
      isCorrupt(text, [text.length - 2, 40, 41]);
    }
  });

  test('answers any bytes with entries or corrupt', () => {
    fc.assert(
      fc.property(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 }), fc.boolean(), (at, patch, insert) => {
        const bytes = Buffer.from(golden);
        const from = at % bytes.length;
        const mutated = Buffer.concat([
          bytes.subarray(0, from),
          patch,
          bytes.subarray(from + (insert ? 0 : patch.length)),
        ]);
        try {
          decodeIndirect(mutated);
        } catch (error) {
          assert.ok(hasCode(error, 'corrupt'), String(error));
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
