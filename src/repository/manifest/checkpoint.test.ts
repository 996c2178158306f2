import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import { DoneRanges } from '../tree/done-ranges.ts';
import { nodeBytes } from '../tree/volume-layout.ts';
import { checkpointBytesMax, decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import type { Checkpoint } from './checkpoint.ts';

const isCorrupt = (error: unknown): boolean => hasCode(error, 'corrupt');
const plain: Checkpoint = {
  sourceId: 'file 1:2',
  sizeBytes: 100 * nodeBytes,
  layout: 'tree-1',
  parent: undefined,
  changes: 'scan',
  done: { watermark: 3, ranges: [{ first: 5, nodes: 2 }] },
};

describe('checkpoint', () => {
  test('is small readable JSON', () => {
    assert.equal(
      Buffer.from(encodeCheckpoint(plain)).toString(),
      '{"version":1,"sourceId":"file 1:2","sizeBytes":6710886400,"layout":"tree-1","changes":"scan","watermark":3,"ranges":[[5,2]]}\n',
    );
  });

  test('comes back as it was written, for any progress', () => {
    const additions = fc.array(fc.record({ first: fc.nat(390), nodes: fc.nat(9) }), { maxLength: 200 });
    fc.assert(
      fc.property(additions, fc.option(fc.string({ maxLength: 40 }), { nil: undefined }), (items, parent) => {
        const ranges = new DoneRanges();
        for (const { first, nodes } of items) ranges.add(first, nodes);
        const checkpoint = { ...plain, sizeBytes: 399 * nodeBytes, parent, done: ranges.recorded() };
        const bytes = encodeCheckpoint(checkpoint);
        assert.ok(bytes.length < 4_096);
        assert.deepEqual(decodeCheckpoint(bytes), checkpoint);
      }),
    );
  });

  test('answers nonsense with corrupt', () => {
    const text = Buffer.from(encodeCheckpoint(plain)).toString();
    const change = (from: string, to: string): Buffer => Buffer.from(text.replace(from, to));
    const bad = [
      Buffer.from(''),
      Buffer.from('null'),
      change('"version":1', '"version":2'),
      change('"watermark":3', '"watermark":-1'),
      change('"watermark":3', '"watermark":5'),
      change('"watermark":3', '"watermark":1.5'),
      change('"watermark":3', '"watermark":101'),
      change('[5,2]', '[99,2]'),
      change('[5,2]', '[5,0]'),
      change('[5,2]', '[5,2,1]'),
      change('[5,2]', '[5,2],[7,1]'),
      change('[5,2]', '[9,2],[5,1]'),
      change('[[5,2]]', JSON.stringify(Array.from({ length: 65 }, (_, n) => [5 + n * 2, 1]))),
      change('tree-1', 'tree-2'),
      change('"sourceId":"file 1:2",', ''),
      Buffer.alloc(checkpointBytesMax + 1, 0x20),
    ];
    for (const bytes of bad) assert.throws(() => decodeCheckpoint(bytes), isCorrupt, bytes.toString().slice(0, 200));
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.nat(255), (at, byte) => {
        const bytes = Buffer.from(text);
        bytes[at] = byte;
        try {
          decodeCheckpoint(bytes);
        } catch (error) {
          assert.ok(isCorrupt(error), String(error));
        }
      }),
    );
  });
});
