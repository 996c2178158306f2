import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { decoders } from './decoders.ts';
import { pageNames, readExamples } from './examples.ts';

for (const page of pageNames()) {
  const examples = readExamples(page);
  describe(`docs/formats/${page}`, () => {
    test('shows an example', () => {
      assert.ok(examples.length > 0);
    });
    for (const example of examples) {
      const name = [example.decoder, ...Object.values(example.options)].join(' ');
      test(`the example ${name} decodes to what the page says`, async () => {
        const decode = decoders[example.decoder];
        assert.ok(decode !== undefined, `no decoder is called ${example.decoder}`);
        assert.ok(example.decoded !== undefined, 'the page does not say what the example means');
        assert.deepEqual(plain(await decode(example)), example.decoded);
      });
    }
  });
}

/** As JSON has it: absent members left out, nanoseconds as text. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? String(member) : member));
  return JSON.parse(text) as unknown;
}
