import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { type ListView, Output, type OutputFormat } from './output.ts';

interface Row {
  readonly id: string;
  readonly sizeBytes: number;
  readonly note?: string | undefined;
}

const rows: readonly Row[] = [
  { id: '7f3a', sizeBytes: 1024 },
  { id: 'é9', sizeBytes: 7, note: 'a\nb\u001b[2Jc' },
];
const view: ListView<Row> = {
  name: (row) => row.id,
  columns: [
    { header: 'id', value: (row) => row.id },
    { header: 'size', value: (row) => String(row.sizeBytes), align: 'right' },
    { header: 'note', value: (row) => row.note ?? '' },
  ],
};

async function printed(format: OutputFormat, use: (output: Output) => Promise<void>, color = false): Promise<string> {
  let text = '';
  const sink = {
    write: (piece: string, done: (error?: Error | null) => void) => {
      text += piece;
      queueMicrotask(() => done());
    },
  };
  await use(new Output(sink, { format, color }));
  return text;
}

test('output > JSON and YAML hold the same data under the same names', async () => {
  const json = await printed('json', async (output) => await output.list(rows, view));
  assert.deepEqual(JSON.parse(json), JSON.parse(JSON.stringify(rows)));
  assert.equal(json.trimEnd().split('\n').length, rows.length + 2, 'one row a line');
  const yaml = await printed('yaml', async (output) => await output.list(rows, view));
  assert.deepEqual(parse(yaml), JSON.parse(json));
  assert.equal(await printed('json', async (output) => await output.list([], view)), '[]\n');
});

test('output > -o name prints the names only, one a line', async () => {
  assert.equal(await printed('name', async (output) => await output.list(rows, view)), '7f3a\né9\n');
  assert.equal(await printed('name', async (output) => await output.list([], view)), '');
  assert.equal(await printed('name', async (output) => await output.record({}, { names: ['x'], fields: [] })), 'x\n');
});

test('output > a table lines its columns up and lets no control character through', async () => {
  assert.equal(
    await printed('table', async (output) => await output.list(rows, view)),
    ['ID    SIZE  NOTE', '7f3a  1024', 'é9       7  a\\u{a}b\\u{1b}[2Jc', ''].join('\n'),
  );
  const fields = [
    ['id', '7f3a'],
    ['size', '1 KiB'],
  ] as const;
  const record = async (output: Output): Promise<void> => await output.record({}, { names: [], fields });
  assert.equal(await printed('table', record), 'id    7f3a\nsize  1 KiB\n');
});

test('output > only the table is coloured, and only when asked', async () => {
  const list = async (output: Output): Promise<void> => await output.list(rows, view);
  assert((await printed('table', list, true)).startsWith('\u001b[1mID'));
  assert(!(await printed('json', list, true)).includes('\u001b[1m'));
});

test('output > a stream that fails makes the command fail', async () => {
  const sink = { write: (_text: string, done: (error?: Error | null) => void) => done(new Error('EPIPE')) };
  await assert.rejects(
    new Output(sink, { format: 'json', color: false }).record({}, { names: [], fields: [] }),
    /EPIPE/,
  );
});
