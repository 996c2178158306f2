import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import { contentOf, directContent, indirectObjectId, isIndirect, listOf, objectId } from './object-id.ts';

const hash = 'f3a1'.repeat(8);

describe('object id', () => {
  test('reads direct, indirect and legacy forms', () => {
    assert.equal(objectId(hash), hash);
    assert.equal(objectId(`D${hash}`), hash);
    assert.equal(objectId(`Ix${hash}`), `Ix${hash}`);
    assert.equal(objectId(`IID${hash}`), `II${hash}`);
    assert.equal(listOf(objectId(`IIx${hash}`)), `Ix${hash}`);
    assert.equal(listOf(objectId(hash)), undefined);
    assert.equal(contentOf(objectId(`IIx${hash}`)), `x${hash}`);
    assert.equal(indirectObjectId(objectId(`x${hash}`)), `Ix${hash}`);
    assert.equal(isIndirect(objectId(`k${hash}`)), false);
  });

  test('names object-level compression as unsupported when it is read', () => {
    assert.throws(
      () => directContent(objectId(`Z${hash}`)),
      (error) => hasCode(error, 'unsupported'),
    );
  });

  test('refuses everything else as corrupt', () => {
    const pieces = fc.constantFrom('I', 'Z', 'D', 'x', 'k', hash, 'g', '', 'A', '/', '0');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 8 }), (parts) => {
        const text = parts.join('');
        if (/^(I{0,4}|Z)D?[g-z]?([0-9a-f]{2}){1,32}$/.test(text)) assert.equal(objectId(text), text.replace('D', ''));
        else {
          assert.throws(
            () => objectId(text),
            (error) => hasCode(error, 'corrupt'),
          );
        }
      }),
    );
  });
});
