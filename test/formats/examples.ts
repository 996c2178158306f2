/**
 * The captured examples of `docs/formats/`. An example is a fenced block whose info string names a decoder and what it
 * must be told: ```hex index``` or ```json piece index=1```. The block ```json decoded``` behind it says what comes out.
 *
 * Lines of hex are `OFFSET  BYTES  # comment`; the offset must be where the bytes stand. `~N` in place of bytes stands
 * for N bytes that mean nothing, which are left out of the page. JSON is shown with line breaks; as stored it has none.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';

export interface Example {
  readonly page: string;
  readonly decoder: string;
  readonly options: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
  /** What the page says that it means; absent when it is only looked up by others. */
  readonly decoded: unknown;
}

const root = new URL('../../docs/formats/', import.meta.url);

export function pageNames(): readonly string[] {
  return readdirSync(root).filter((name) => name.endsWith('.md'));
}

export function readExamples(page: string): readonly Example[] {
  const text = readFileSync(new URL(page, root), 'utf8');
  const blocks = [...text.matchAll(/^```(?<language>hex|json) (?<info>.+)\n(?<body>[^`]*)^```$/gm)];
  const examples: Example[] = [];
  for (const [index, { groups }] of blocks.entries()) {
    const { language = '', info = '', body = '' } = groups ?? {};
    if (info === 'decoded') continue;
    const [decoder = '', ...words] = info.split(' ');
    const options = Object.fromEntries(words.map((word) => word.split('=', 2) as [string, string]));
    const bytes = language === 'hex' ? parseHex(body, `${page}: ${info}`) : joinLines(body);
    const next = blocks[index + 1]?.groups;
    const decoded: unknown = next?.['info'] === 'decoded' ? JSON.parse(next['body'] ?? '') : undefined;
    examples.push({ page, decoder, options, bytes, decoded });
  }
  return examples;
}

function parseHex(body: string, where: string): Buffer {
  const pieces: Buffer[] = [];
  let length = 0;
  for (const line of body.trimEnd().split('\n')) {
    const [offset = '', ...bytes] = line.replace(/#.*$/, '').trim().split(/\s+/);
    assert.equal(Number.parseInt(offset, 16), length, `${where}: the line ${line} stands at ${length.toString(16)}`);
    const left = /^~(\d+)$/.exec(bytes.join(''))?.[1];
    const piece = left === undefined ? Buffer.from(bytes.join(''), 'hex') : Buffer.alloc(Number(left));
    assert.ok(left !== undefined || piece.toString('hex') === bytes.join(''), `${where}: not hex: ${line}`);
    pieces.push(piece);
    length += piece.length;
  }
  return Buffer.concat(pieces);
}

function joinLines(body: string): Buffer {
  return Buffer.from(
    body
      .split('\n')
      .map((line) => line.trim())
      .join(''),
  );
}
