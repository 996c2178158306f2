import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { matchName, matchPath, parsePathPattern, type PathPattern } from './path-patterns.ts';

function taken(patterns: readonly string[], path: string): boolean {
  const isFolder = path.endsWith('/');
  const names = path.split('/').filter((name) => name !== '');
  const parsed = patterns.map((text) => parsePathPattern(text)).filter((pattern) => pattern !== undefined);
  return matchPath(parsed satisfies readonly PathPattern[], names, { isFolder }) === 'taken';
}

describe('path patterns', () => {
  test('follow the rules of .gitignore', () => {
    const cases: readonly (readonly [patterns: readonly string[], yes: readonly string[], no: readonly string[]])[] = [
      [['*.log'], ['a.log', 'x/y/.log'], ['a.logs', 'log']],
      [['cache/'], ['cache/', 'a/cache/'], ['cache', 'a/cache']],
      [['/top'], ['top', 'top/'], ['a/top']],
      [['a/b'], ['a/b'], ['x/a/b', 'a/x/b']],
      [['a/**/b'], ['a/b', 'a/x/b', 'a/x/y/b'], ['b', 'a/b/c']],
      [['**/b'], ['b', 'x/y/b'], ['xb']],
      [['a/**'], ['a/x', 'a/x/'], ['a', 'b/a/x']],
      [['f?o'], ['foo', 'fäo', 'f😀o'], ['fo', 'fooo']],
      [
        ['[a-c]x', '[!a-c]y'],
        ['ax', 'cx', 'dy'],
        ['dx', 'ay'],
      ],
      [['[]]'], [']'], ['[']],
      [['[ab'], ['[ab'], ['a']],
      [
        ['\\*', '\\!x'],
        ['*', '!x'],
        ['a', 'x'],
      ],
      [
        ['*', '!keep'],
        ['a', 'x/a'],
        ['keep', 'x/keep'],
      ],
      [['/', ''], [], ['a', 'a/']],
    ];
    for (const [patterns, yes, no] of cases) {
      for (const path of yes) assert.ok(taken(patterns, path), `${patterns.join(' ')} takes ${path}`);
      for (const path of no) assert.ok(!taken(patterns, path), `${patterns.join(' ')} does not take ${path}`);
    }
  });

  test('match as the regular expression would that they mean', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 12 });
    const name = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 });
    fc.assert(
      fc.property(letters, name, (pattern, text) => {
        const meant = new RegExp(`^${pattern.replaceAll('*', '[^/]*').replaceAll('?', '[^/]')}$`);
        assert.equal(matchName(pattern, text), meant.test(text));
      }),
    );
  });

  test('never take long, whatever the pattern', () => {
    assert.equal(matchName('*a'.repeat(2000), 'a'.repeat(3999) + 'b'), false);
    const many = Array.from({ length: 500 }, () => '**/a').join('/');
    assert.equal(taken([`${many}/b`], Array.from({ length: 900 }, () => 'a').join('/')), false);
  });
});
