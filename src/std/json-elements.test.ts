import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { JsonElements } from './json-elements.ts';
import { JsonError } from './lossless-json.ts';

const bounds = { member: 'entries', elementBytesMax: 200, outerBytesMax: 200 };

/** Pushes a text cut at these places. */
function read(text: string, cuts: readonly number[] = []): { elements: unknown[]; outer: unknown; found: boolean } {
  const bytes = Buffer.from(text);
  const parser = new JsonElements(bounds);
  const elements: unknown[] = [];
  let from = 0;
  for (const cut of [...cuts.map((value) => value % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]) {
    elements.push(...parser.push(bytes.subarray(from, cut)));
    from = cut;
  }
  return { elements, ...parser.end() };
}

describe('elements of a JSON array', () => {
  test('are what JSON.parse finds, wherever the text is cut, also within a character', () => {
    const element = fc.oneof(
      fc.record({ n: fc.string({ unit: 'binary', maxLength: 12 }), l: fc.array(fc.nat(), { maxLength: 3 }) }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(null, true, '"],{', 'ä😀\\'),
    );
    const whole = fc.record({ a: fc.constant('[ü{'), entries: fc.array(element, { maxLength: 6 }), z: fc.nat() });
    fc.assert(
      fc.property(whole, fc.array(fc.nat(), { maxLength: 8 }), (value, cuts) => {
        const text = JSON.stringify(value);
        const { elements, outer, found } = read(text, cuts);
        const { entries, ...rest } = JSON.parse(text) as typeof value;
        assert.deepEqual(elements, entries);
        assert.deepEqual(outer, { ...rest, entries: [] });
        assert.equal(found, true);
      }),
    );
  });

  test('are none where there is no such array, and only the first array of the name counts', () => {
    assert.deepEqual(read('{"entries":null,"x":[1]}'), {
      elements: [],
      outer: { entries: null, x: [1] },
      found: false,
    });
    assert.deepEqual(read('{"x":["entries",[1]],"ENTRIES" : [ ] }').found, true);
    assert.deepEqual(read('{"x":{"entries":[1]}}').elements, []);
  });

  test('are refused when the text is malformed, too deep or too long', () => {
    const long = 'x'.repeat(300);
    const bad = ['', '{', '{"entries":[', '{"entries":[1,]}', '{"entries":[,1]}', '{"entries":[1]', '{"entries":[1}]}'];
    for (const text of [...bad, `{"entries":["${long}`, `{"y":"${long}"}`, `${'['.repeat(40)}`]) {
      assert.throws(() => read(text, [text.length - 1]), JsonError, text);
    }
  });

  test('any bytes end with elements or with an error of this kind', () => {
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '\\', 'e', 'a', '1', ' '),
          maxLength: 60,
        }),
        (text) => {
          try {
            read(text, [7, 20]);
          } catch (error) {
            assert.ok(error instanceof JsonError);
          }
        },
      ),
    );
  });
});
