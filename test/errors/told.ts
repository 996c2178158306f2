/** What a user must be told by a command that cannot do what it was asked. */
import assert from 'node:assert/strict';

import type { DrayEnded } from '../support/run-dray.ts';

/** The exit status, these words, what to do next, and nothing that only a developer wants to know. */
export function check(
  { exitCode, stderr, stdout }: DrayEnded,
  expected: { exit: number; says: readonly RegExp[] },
): void {
  assert.equal(exitCode, expected.exit, stderr + stdout);
  for (const pattern of expected.says) assert.match(stderr, pattern);
  assert.match(stderr, /^ {2}next: /m);
  assert.doesNotMatch(stderr, /^ {4}at /m, 'a stack is for defects only');
}
