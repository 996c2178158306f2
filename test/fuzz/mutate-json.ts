/** Mutations that leave JSON well-formed, so that they reach what reads its members. */
import type { Rng } from '../../src/std/rng.ts';

/** As text, because some are no numbers of JavaScript's. */
const values: readonly string[] = [
  'null',
  'true',
  'false',
  '0',
  '-1',
  '1.5',
  '1e308',
  '1e999',
  '-0',
  '4294967296',
  '9007199254740993',
  '18446744073709551616',
  '"9007199254740993"',
  '"0"',
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '"../../etc/passwd"',
  '"__proto__"',
  '[]',
  '{}',
  '[[[[]]]]',
  '{"__proto__":{"a":1}}',
  '"0001-01-01T00:00:00Z"',
  '"Ix00"',
  '"1h"',
];

/** Replaces, removes or doubles members and elements; undefined when the bytes are no JSON object or array. */
export function mutatedJson(rng: Rng, bytes: Uint8Array): Buffer | undefined {
  const first = bytes[0];
  if (first !== 0x7b && first !== 0x5b) return undefined;
  let root: unknown;
  try {
    root = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
  let parts = 0;
  const chance = 1 / (1 + Math.floor(rng.uniform() * countOf(root)));
  const write = (value: unknown): string => {
    parts += 1;
    if (parts > 1 && rng.uniform() < chance) return values[Math.floor(rng.uniform() * values.length)]!;
    if (Array.isArray(value)) return `[${value.flatMap((item) => often(rng, chance, () => write(item))).join(',')}]`;
    if (typeof value !== 'object' || value === null) return JSON.stringify(value);
    const members = Object.entries(value).flatMap(([key, member]) =>
      often(rng, chance, () => `${nameOf(rng, key, chance)}:${write(member)}`),
    );
    return `{${members.join(',')}}`;
  };
  return Buffer.from(write(root));
}

/** Left out, or twice, by chance. */
function often(rng: Rng, chance: number, write: () => string): string[] {
  const draw = rng.uniform();
  if (draw < chance / 4) return [];
  return draw < chance / 2 ? [write(), write()] : [write()];
}

/** Go's decoder takes names in any case, and so do the formats. */
function nameOf(rng: Rng, key: string, chance: number): string {
  const draw = rng.uniform();
  if (draw < chance / 8) return '"__proto__"';
  return JSON.stringify(draw < chance / 2 ? key.toUpperCase() : key);
}

function countOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce<number>((sum, member) => sum + countOf(member), 1);
}
