import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { JsonError, JsonNumber, jsonObject, parseJson } from './lossless-json.ts';
import { stringifyJson } from './write-json.ts';

describe('lossless JSON', () => {
  test('keeps 64-bit integers and literals that a double would change', () => {
    const text =
      '{"a":9223372036854775807,"b":[1.10,1e400,-0,12345678901234567890123,0.1,-5,1.5e300],"c":9007199254740991}';
    const value = parseJson(text);
    assert.equal(stringifyJson(value), text);
    assert.equal((value as { a: unknown }).a, 9223372036854775807n);
    assert.equal((value as { c: unknown }).c, 9007199254740991);
    assert.deepEqual((value as unknown as { b: unknown[] }).b[0], new JsonNumber('1.10'));
  });

  test('takes __proto__ and constructor as plain keys', () => {
    const text = '{"__proto__":{"polluted":1},"constructor":2}';
    const value = parseJson(text);
    assert.equal(Object.getPrototypeOf(value), null);
    assert.equal(stringifyJson(value), text);
    assert.equal(({} as { polluted?: number }).polluted, undefined);
  });

  test('agrees with JSON.parse on everything that a double holds', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        assert.deepEqual(JSON.parse(stringifyJson(parseJson(text))), JSON.parse(text));
      }),
    );
  });

  test('prints what it parsed, indented like JSON.stringify', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const compact = JSON.stringify(value);
        assert.equal(stringifyJson(parseJson(compact)), compact);
        assert.equal(stringifyJson(parseJson(compact), { indent: 2 }), JSON.stringify(value, undefined, 2));
      }),
    );
  });

  test('accepts and rejects exactly what JSON.parse does', () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      '"',
      ',',
      ':',
      '1',
      '-',
      '0',
      '.',
      'e',
      'true',
      'null',
      ' ',
      '\n',
      '\\',
      'a',
      'u',
      '\t',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (parts) => {
        const text = parts.join('');
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        if (valid) parseJson(text);
        else assert.throws(() => parseJson(text), JsonError);
      }),
      { numRuns: 5_000 },
    );
  });

  test('answers any text with a value or a JsonError, also when it is nested a million times', () => {
    assert.throws(() => parseJson('['.repeat(1_000_000)), JsonError);
    assert.throws(() => parseJson('{"a":'.repeat(1_000_000)), JsonError);
    assert.throws(() => parseJson('"' + 'x\\n'.repeat(5_000_000)), JsonError);
    assert.equal(parseJson(`"${'x\\n'.repeat(5_000_000)}"`), 'x\n'.repeat(5_000_000));
    assert.ok(parseJson('9'.repeat(4_000)) instanceof JsonNumber);
    assert.throws(() => parseJson('9'.repeat(50_000_000)), JsonError);
    assert.throws(() => parseJson(' '.repeat(50_000_000)), JsonError);
    assert.equal(parseJson(`"${'\\\\'.repeat(1_000_000)}"`), '\\'.repeat(500_000 * 2));
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseJson(text);
        } catch (error) {
          assert.ok(error instanceof JsonError);
        }
      }),
    );
  });

  test('refuses to write what JSON cannot say', () => {
    assert.throws(() => stringifyJson(Number.NaN), JsonError);
    assert.equal(stringifyJson(jsonObject({ a: 1, b: undefined })), '{"a":1}');
  });
});
