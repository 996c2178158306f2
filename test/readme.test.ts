import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

test('README > the two commands that it promises a stranger are run by CI, word for word and nothing skipped', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  const run = await readFile(new URL('../.ci/run', import.meta.url), 'utf8');
  const promised = /^```sh\n(?<lines>[^`]*?\n)```$/m.exec(readme)?.groups?.['lines'] ?? '';
  const commands = promised
    .split('\n')
    .map((line) => line.replace(/\s+#.*$/, '').trim())
    .filter((line) => line !== '');
  assert.deepEqual(commands, ['npm ci && npx dray tour', 'npm cit']);
  for (const command of commands) {
    // On a line of its own, at most with its output copied: no `|| true`, no condition before it.
    const lines = run.split('\n').map((line) => line.replace(/ \| tee "\$summary"$/, ''));
    assert(lines.includes(command), `.ci/run does not run: ${command}`);
  }
  assert(/^set -euo pipefail$/m.test(run), '.ci/run must end with the first failure');
});
