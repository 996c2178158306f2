import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../std/dray-error.ts';
import { parseXml, textOf, xmlElement } from './s3-xml.ts';

const parse = (text: string): ReturnType<typeof parseXml> => parseXml(Buffer.from(text));

test('the answers of S3 become a tree, whatever their namespace and order', () => {
  const root = parse(
    '<?xml version="1.0" encoding="UTF-8"?>\n<s:List xmlns:s="http://s3.amazonaws.com/doc/2006-03-01/">\n' +
      ' <B> b &amp; <![CDATA[<c>]]> &#x41;</B>\n <A/>\n <B>second</B></s:List>\n',
  );
  assert.equal(root.name, 'List');
  assert.deepEqual(
    root.children.map(({ name }) => name),
    ['B', 'A', 'B'],
  );
  assert.equal(textOf(root, 'B'), 'b & <c> A');
  assert.equal(textOf(root, 'A'), '');
  assert.equal(textOf(root, 'C'), undefined);
});

test('what is no XML, or more than S3 sends, is refused', () => {
  for (const text of [
    '',
    'hello',
    '<a>',
    '<a></b>',
    '<a/><b',
    '<html><br></html>',
    '<a>&unknown;</a>',
    '<!DOCTYPE a><a/>',
    '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>',
    '<a>'.repeat(9) + '</a>'.repeat(9),
    `<a>${'<b/>'.repeat(50_001)}</a>`,
  ]) {
    assert.throws(() => parse(text), { code: 'blob-unavailable' }, text.slice(0, 80));
  }
});

test('what is written is read again', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.integer({ min: 0x20, max: 0xd7ff }).map((code) => String.fromCodePoint(code)) }),
      (text) => {
        assert.equal(parse(xmlElement('a', `|${text}|`)).text, `|${text}|`);
      },
    ),
  );
});

test('no bytes do anything but give a tree or a typed error', () => {
  const word = fc.constantFrom(
    '<a>',
    '</a>',
    '<Error>',
    '<Code>',
    '</Code>',
    '&lt;',
    '&#99999999;',
    '<![CDATA[',
    ']]>',
    '<?x',
    '?>',
    '<!--',
    'x',
    '"',
    '\0',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.array(word).map((words) => Buffer.from(words.join(''))),
      ),
      (bytes) => {
        try {
          parseXml(bytes);
        } catch (error) {
          assert.ok(hasCode(error, 'blob-unavailable'), String(error));
        }
      },
    ),
    { numRuns: 2000 },
  );
});
