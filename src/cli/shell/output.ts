/**
 * Results, and nothing else, go to stdout, in the form that `-o` names: a table for people, JSON and YAML with stable
 * field names for programs, and bare names (ids, paths) for shells. A value is data first; its view only says how
 * to show it to people.
 */
import { printable } from './printable.ts';

export const outputFormats = ['table', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** The part of a stream that output needs. */
export interface TextSink {
  write(text: string | Uint8Array, done: (error?: Error | null) => void): unknown;
}

export interface Column<Row> {
  readonly header: string;
  readonly value: (row: Row) => string;
  readonly align?: 'left' | 'right';
}

export interface ListView<Row> {
  readonly name: (row: Row) => string;
  readonly columns: readonly Column<Row>[];
}

/** How many rows, which may be too many for columns of the right width, are shown one by one. */
export interface StreamView<Row> {
  readonly name: (row: Row) => string;
  readonly line: (row: Row) => string;
}

export interface RecordView {
  /** What `-o name` prints: the ids or paths that the command made or shows, one a line. */
  readonly names: readonly string[];
  /** Label and text, in the order of the table; what is undefined is left out. */
  readonly fields: readonly (readonly [label: string, text: string | undefined])[];
}

/** A list of thousands is a few writes, and no text of all of it. */
const charactersAtOnce = 65_536;

export class Output {
  readonly format: OutputFormat;
  readonly color: boolean;
  readonly #sink: TextSink;

  constructor(sink: TextSink, { format, color }: { readonly format: OutputFormat; readonly color: boolean }) {
    this.#sink = sink;
    this.format = format;
    this.color = color;
  }

  /** One thing. `value` is what JSON and YAML show; absent fields are left out. */
  async record(value: object, view: RecordView): Promise<void> {
    switch (this.format) {
      case 'json':
        return await this.write(`${JSON.stringify(value, undefined, 2)}\n`);
      case 'yaml':
        return await this.#yaml(value);
      case 'name':
        return await this.#names(view.names);
      case 'table':
        return await this.write(recordText(view.fields, this.color));
    }
  }

  /** Many things of a kind: a JSON or YAML array, names one a line, or a table whose header shows even when it is empty. */
  async list<Row extends object>(rows: readonly Row[], view: ListView<Row>): Promise<void> {
    switch (this.format) {
      case 'json':
        return await this.#jsonLines(rows);
      case 'yaml':
        return await this.#yaml(rows);
      case 'name':
        return await this.#names(rows.map(view.name));
      case 'table':
        return await this.write(tableText(rows, view.columns, this.color));
    }
  }

  /** As `list`, for any number of things: each is printed when it comes. The table is lines without a header. */
  async stream<Row extends object>(rows: AsyncIterable<Row>, view: StreamView<Row>): Promise<void> {
    const yaml = this.format === 'yaml' ? await import('yaml') : undefined;
    let count = 0;
    for await (const row of rows) {
      switch (this.format) {
        case 'json':
          await this.write(`${count === 0 ? '[\n' : ',\n'}  ${JSON.stringify(row)}`);
          break;
        case 'yaml':
          await this.write(yaml?.stringify([row]) ?? '');
          break;
        case 'name':
          await this.#names([view.name(row)]);
          break;
        case 'table':
          await this.write(`${view.line(row)}\n`);
          break;
      }
      count += 1;
    }
    if (this.format === 'json') await this.write(count === 0 ? '[]\n' : '\n]\n');
    if (this.format === 'yaml' && count === 0) await this.write('[]\n');
  }

  /** Text or bytes as they are, for a command with a form of its own. Resolves when the stream has taken it. */
  async write(text: string | Uint8Array): Promise<void> {
    await writeText(this.#sink, text);
  }

  /** One element a line, so that a long list is never one string and `grep` works on it. */
  async #jsonLines(rows: readonly object[]): Promise<void> {
    if (rows.length === 0) return await this.write('[]\n');
    let text = '[\n';
    for (const [position, row] of rows.entries()) {
      text += `${position === 0 ? '' : ',\n'}  ${JSON.stringify(row)}`;
      if (text.length < charactersAtOnce) continue;
      await this.write(text);
      text = '';
    }
    await this.write(`${text}\n]\n`);
  }

  async #yaml(value: object): Promise<void> {
    const { stringify } = await import('yaml'); // Loaded only here: most runs never need it.
    await this.write(stringify(value));
  }

  async #names(names: readonly string[]): Promise<void> {
    await this.write(names.map((name) => `${printable(name)}\n`).join(''));
  }
}

/** Resolves when the stream has taken the text. */
export async function writeText(sink: TextSink, text: string | Uint8Array): Promise<void> {
  if (text.length === 0) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  sink.write(text, (error) => (error ? reject(error) : resolve()));
  await promise;
}

function tableText<Row>(rows: readonly Row[], columns: readonly Column<Row>[], color: boolean): string {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  const widths = columns.map((column, index) =>
    cells.reduce((width, row) => Math.max(width, lengthOf(row[index] ?? '')), lengthOf(column.header)),
  );
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => pad(text, widths[index] ?? 0, columns[index]?.align))
      .join('  ')
      .trimEnd();
  const header = line(columns.map((column) => column.header.toUpperCase()));
  return [bold(header, color), ...cells.map(line), ''].join('\n');
}

function recordText(view: RecordView['fields'], color: boolean): string {
  const fields = view.flatMap(([label, text]) => (text === undefined ? [] : [[label, text] as const]));
  const width = fields.reduce((widest, [label]) => Math.max(widest, lengthOf(label)), 0);
  return fields.map(([label, text]) => `${bold(pad(label, width), color)}  ${printable(text)}\n`).join('');
}

function pad(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, width - lengthOf(text)));
  return align === 'right' ? space + text : text + space;
}

/** Characters, not UTF-16 units. */
function lengthOf(text: string): number {
  return Array.from(text).length;
}

function bold(text: string, color: boolean): string {
  return color ? `\u001b[1m${text}\u001b[22m` : text;
}
