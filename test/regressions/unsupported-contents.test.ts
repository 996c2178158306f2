/** Contents that are compressed in a way that this version does not know: verifying called them damaged. */
import assert from 'node:assert/strict';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { newSessionId } from '../../src/repository/content/session.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { backupFile, createEngine, withRepository, type Engine } from '../support/engine.ts';
import { runDray } from '../support/run-dray.ts';
import { memoryFolder } from '../support/temporary.ts';
import { writeVolume } from '../support/volume-model.ts';

const signal = AbortSignal.timeout(300_000);
const mib = 1024 * 1024;
const unheardOf = 0x7777;

/** Makes the index say that contents with this prefix are compressed as no Kopia does, of a few or all of them. */
async function callUnheardOf(
  engine: Engine,
  { prefix, count }: { readonly prefix: '' | 'x'; readonly count: number },
): Promise<void> {
  await withRepository(engine, async ({ index }) => {
    const entries = [...index.entries({ prefix })].slice(0, count);
    assert.ok(entries.length > 0);
    const changed = entries.map((entry) => ({
      ...entry,
      compression: unheardOf,
      timestampSeconds: entry.timestampSeconds + 1,
    }));
    await index.flush(changed, { sessionId: newSessionId({ rng, nowMs: clock.nowMs() }), signal });
  });
}

interface Verified {
  readonly whole: boolean;
  readonly problems: readonly unknown[];
  readonly damaged: readonly unknown[];
  readonly unsupported: readonly { readonly what: string; readonly contents: number; readonly lists: number }[];
}

test('what this version cannot read is counted apart, is no damage, and is not restored', async () => {
  await using folder = await memoryFolder('unsupported-contents');
  const [image, target] = [join(folder.path, 'image'), join(folder.path, 'target')];
  await writeVolume(image, {
    sizeBytes: 9 * mib,
    pieces: [{ offset: 0, lengthBytes: 9 * mib, kind: 'text', seed: 1 }],
  });
  const engine = await createEngine(folder.path);
  const { snapshot } = await backupFile(engine, image);
  const place = { repository: engine.path, cache: join(folder.path, 'c'), password: 'password' };

  await callUnheardOf(engine, { prefix: '', count: 2 });
  const verified = await runDray(place, ['repository', 'verify', '--level', 'data', '-o', 'json']);
  assert.equal(verified.exitCode, 0, verified.stdout + verified.stderr);
  assert.match(verified.stderr, /2 contents could not be checked: .*compression 0x7777/);
  const { problems, damaged, unsupported } = JSON.parse(verified.stdout) as Verified;
  assert.deepEqual({ problems, damaged }, { problems: [], damaged: [] });
  assert.deepEqual(unsupported, [{ what: 'compression 0x7777', contents: 2, lists: 0 }]);
  const text = await runDray(place, ['repository', 'verify', '--level', 'data']);
  assert.match(text.stdout, /Unsupported .*compression 0x7777: 2 contents cannot be checked by this version/);
  assert.match(text.stdout, /Result .*no damage in what could be checked/);

  const restored = await runDray(place, ['restore', snapshot, target]);
  assert.equal(restored.exitCode, 1);
  assert.match(restored.stderr, /compression 0x7777/);
  await assert.rejects(access(target));

  // Lists that cannot be read hide what they name, at every level.
  await callUnheardOf(engine, { prefix: 'x', count: Infinity });
  for (const level of ['index', 'data']) {
    const hidden = await runDray(place, ['repository', 'verify', '--level', level, '-o', 'json']);
    assert.equal(hidden.exitCode, 0, hidden.stdout + hidden.stderr);
    const found = JSON.parse(hidden.stdout) as Verified;
    assert.deepEqual(found.damaged, []);
    assert.ok(found.unsupported[0]!.lists > 0);
  }
});
