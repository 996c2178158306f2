import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as v from 'valibot';

import { hasCode } from './dray-error.ts';
import { parseJson } from './lossless-json.ts';
import { anyObject, checkSchema, integer, natural, parseSchema, plainObject } from './schema.ts';

const limited = plainObject({
  name: v.pipe(v.string(), v.maxLength(3)),
  kind: v.optional(v.picklist(['a', 'b']), 'a'),
  sizes: v.optional(v.array(natural), []),
});

describe('schema', () => {
  test('gives the value as it is made, without what is not known', () => {
    const { value } = checkSchema(limited, parseJson('{"name":"x","sizes":[1],"more":2,"__proto__":{"kind":"b"}}'));
    assert.deepEqual(value, { name: 'x', kind: 'a', sizes: [1] });
  });

  test('says where the first thing is that is wrong, and what was expected', () => {
    const cases: [string, string][] = [
      ['{}', 'name: missing'],
      ['{"name":5,"kind":"c"}', 'name: expected string, got 5'],
      ['{"name":"long"}', 'name: expected a length <=3, got 4'],
      ['{"name":"x","kind":true}', 'kind: expected ("a" | "b"), got true'],
      ['{"name":"x","sizes":{}}', 'sizes: expected Array, got object'],
      ['{"name":"x","sizes":[1,-1]}', 'sizes.1: expected >=0, got -1'],
      ['{"name":"x","sizes":[null]}', 'sizes.0: expected integer below 2^53, got null'],
      ['{"name":"x","sizes":[1e400]}', 'sizes.0: expected integer below 2^53, got 1e400'],
      ['[]', 'expected object, got array'],
    ];
    for (const [text, wrong] of cases) assert.deepEqual(checkSchema(limited, parseJson(text)), { wrong }, text);
    assert.throws(
      () => parseSchema(limited, {}),
      (error) => hasCode(error, 'schema') && error.message === 'name: missing',
    );
  });

  test('shows no text of the value: it may be a key', () => {
    const schemas: v.GenericSchema[] = [
      v.number(),
      v.literal('a'),
      v.pipe(v.string(), v.regex(/^x$/)),
      v.pipe(v.string(), v.base64()),
      v.pipe(
        v.string(),
        v.check(() => false),
      ),
      v.union([v.number(), v.boolean()]),
      v.strictTuple([]),
      v.pipe(v.string(), v.maxLength(1)),
      anyObject,
      integer,
    ];
    for (const schema of schemas) {
      for (const value of ['§secret§', ['§secret§']]) {
        const { wrong } = checkSchema(schema, value);
        assert(wrong !== undefined);
        assert.doesNotMatch(wrong, /secret/);
      }
    }
  });

  test('an object is neither an array, nor null, nor a number that is kept as text', () => {
    const schema = plainObject({ size: v.optional(integer, 0) });
    for (const text of ['[]', 'null', '1.10', '"x"', '5']) {
      assert.notEqual(checkSchema(schema, parseJson(text)).wrong, undefined, text);
    }
    assert.deepEqual(checkSchema(schema, parseJson('{}')), { value: { size: 0 } });
  });

  test('an integer is one that a double holds', () => {
    for (const value of [0, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
      assert.deepEqual(checkSchema(integer, value), { value });
    }
    for (const value of [0.5, Number.NaN, Infinity, 2 ** 53, 5n, '5', true]) {
      assert.notEqual(checkSchema(integer, value).wrong, undefined, String(value));
    }
    assert.notEqual(checkSchema(natural, -1).wrong, undefined);
  });
});
