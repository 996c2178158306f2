/**
 * Patterns of paths as `.gitignore` has them, which is what Kopia's ignore rules follow: one without an inner slash means
 * a name at any depth, one with it a path from the root, one with a slash at the end folders only; `*`, `?` and `[a-z]`
 * stay within a name, `**` crosses folders, `!` takes back what an earlier pattern took, `\` takes the next character
 * as it is. Matching walks the pattern beside the name and never tries more than length times length, whatever either
 * holds: no regular expression is made of it.
 */
export interface PathPattern {
  readonly negated: boolean;
  readonly foldersOnly: boolean;
  /** One a folder level; `**` alone means any number of them, none included. */
  readonly segments: readonly string[];
}

/** Undefined for a pattern that means nothing: empty, or only slashes. */
export function parsePathPattern(text: string): PathPattern | undefined {
  const negated = text.startsWith('!');
  const body = negated ? text.slice(1) : text;
  const foldersOnly = body.endsWith('/');
  const segments = body.split('/').filter((segment) => segment !== '');
  if (segments.length === 0) return undefined;
  const anchored = body.replace(/\/$/, '').includes('/');
  return { negated, foldersOnly, segments: anchored ? segments : ['**', ...segments] };
}

/** What the last of the patterns that match says; undefined when none does. */
export function matchPath(
  patterns: readonly PathPattern[],
  path: readonly string[],
  { isFolder }: { readonly isFolder: boolean },
): 'taken' | 'taken back' | undefined {
  const last = patterns.findLast(
    ({ foldersOnly, segments }) => (isFolder || !foldersOnly) && matchSegments(segments, path),
  );
  if (last === undefined) return undefined;
  return last.negated ? 'taken back' : 'taken';
}

/** Greedy with one way back, as for a name: `**` is to segments what `*` is to characters. */
function matchSegments(pattern: readonly string[], path: readonly string[]): boolean {
  return matchSequence(pattern.length, path.length, {
    isStar: (at) => pattern[at] === '**' && (at < pattern.length - 1 || pattern.length === 1),
    matches: (at, index) => matchName(pattern[at] === '**' ? '*' : pattern[at]!, path[index]!),
  });
}

/** One name against one segment of a pattern. */
export function matchName(pattern: string, name: string): boolean {
  const tokens = tokensOf(pattern);
  const characters = Array.from(name);
  return matchSequence(tokens.length, characters.length, {
    isStar: (at) => tokens[at] === 'star',
    matches: (at, index) => {
      const token = tokens[at]!;
      return token !== 'star' && token(characters[index]!);
    },
  });
}

/** The classic match of a sequence with stars: only the last star is ever gone back to. */
function matchSequence(
  patternLength: number,
  length: number,
  { isStar, matches }: { isStar: (at: number) => boolean; matches: (at: number, index: number) => boolean },
): boolean {
  let at = 0;
  let index = 0;
  let star = -1;
  let resume = 0;
  while (index < length) {
    if (at < patternLength && isStar(at)) {
      star = at;
      resume = index;
      at += 1;
    } else if (at < patternLength && matches(at, index)) {
      at += 1;
      index += 1;
    } else if (star >= 0) {
      resume += 1;
      index = resume;
      at = star + 1;
    } else {
      return false;
    }
  }
  while (at < patternLength && isStar(at)) at += 1;
  return at === patternLength;
}

type Token = 'star' | ((character: string) => boolean);

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  const characters = Array.from(pattern);
  for (let at = 0; at < characters.length; at += 1) {
    const character = characters[at]!;
    const end = character === '[' ? classEnd(characters, at) : -1;
    if (character === '*') tokens.push('star');
    else if (character === '?') tokens.push(() => true);
    else if (end > 0) {
      tokens.push(classOf(characters.slice(at + 1, end)));
      at = end;
    } else {
      const literal = character === '\\' && at + 1 < characters.length ? characters[(at += 1)]! : character;
      tokens.push((found) => found === literal);
    }
  }
  return tokens;
}

/** Where the class that opens at `at` closes; a `]` right at its beginning belongs to it. */
function classEnd(characters: readonly string[], at: number): number {
  const first = characters[at + 1] === '!' || characters[at + 1] === '^' ? at + 2 : at + 1;
  return characters.indexOf(']', first + 1);
}

function classOf(inner: readonly string[]): (character: string) => boolean {
  const negated = inner[0] === '!' || inner[0] === '^';
  const members = negated ? inner.slice(1) : inner;
  const ranges: (readonly [string, string])[] = [];
  for (let at = 0; at < members.length; at += 1) {
    const isRange = members[at + 1] === '-' && at + 2 < members.length;
    ranges.push([members[at]!, members[isRange ? at + 2 : at]!]);
    if (isRange) at += 2;
  }
  return (character) => ranges.some(([from, to]) => character >= from && character <= to) !== negated;
}
