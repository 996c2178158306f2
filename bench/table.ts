/** Markdown tables, whose columns also line up as plain text. */

export interface TableColumn<Row> {
  readonly header: string;
  readonly value: (row: Row) => string;
  readonly align?: 'left' | 'right';
}

export function markdownTable<Row>(rows: readonly Row[], columns: readonly TableColumn<Row>[]): string {
  const cells = rows.map((row) => columns.map((column) => column.value(row).replaceAll('|', '\\|')));
  const widths = columns.map((column, at) =>
    Math.max(3, Array.from(column.header).length, ...cells.map((row) => Array.from(row[at]!).length)),
  );
  const pad = (text: string, at: number): string => {
    const space = ' '.repeat(widths[at]! - Array.from(text).length);
    return columns[at]!.align === 'right' ? space + text : text + space;
  };
  const line = (texts: readonly string[]): string => `| ${texts.map(pad).join(' | ')} |`;
  const rule = columns.map(({ align }, at) => '-'.repeat(widths[at]! - 1) + (align === 'right' ? ':' : '-'));
  return [line(columns.map(({ header }) => header)), `| ${rule.join(' | ')} |`, ...cells.map(line), ''].join('\n');
}
