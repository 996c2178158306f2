/** Several snapshots deleted while something happens: what is gone is told, whatever becomes of the others. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { poolSnapshotDelete } from '../../src/cli/actions/pool-snapshot-delete.ts';
import { poolSnapshotExpire } from '../../src/cli/actions/pool-snapshot-expire.ts';
import { CliContext } from '../../src/cli/shell/cli-context.ts';
import type { ExitCode } from '../../src/cli/shell/exit-code.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { systemClock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { systemRng, type Rng } from '../../src/std/rng.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { makeVolume, smallPool, takeSnapshots } from './small-pool.ts';

const names = ['20310402T010000Z', '20310402T020000Z', '20310402T030000Z', '20310402T040000Z'];

const actions: Readonly<Record<string, (context: CliContext) => Promise<ExitCode>>> = {
  'snapshot delete': async (context) => {
    const snapshots = names.slice(0, 3).map((snapshot) => ({ volume: 'data', snapshot }));
    return await poolSnapshotDelete(context, { snapshots, force: false, dryRun: false });
  },
  'snapshot expire': async (context) => {
    return await poolSnapshotExpire(context, {
      volumes: ['data'],
      keep: { keepLatest: 1 },
      named: false,
      dryRun: false,
    });
  },
};

interface Ended {
  readonly exitCode: ExitCode | undefined;
  readonly error: unknown;
  /** Names of snapshots that it says anything of. */
  readonly shown: readonly string[];
  /** Names of snapshots that it says are gone. */
  readonly deleted: readonly string[];
  readonly told: string;
  readonly left: readonly string[];
}

/** Of four snapshots three are to go; `meanwhile` happens when the first is on its way out, to the second one's folder. */
async function deleting(
  command: string,
  meanwhile: (second: string, controller: AbortController) => void,
): Promise<Ended> {
  await using small = await smallPool();
  const { pool } = small;
  await makeVolume(pool, 'data');
  for (const name of names) await takeSnapshots(pool, [`data@${name}`]);
  const controller = new AbortController();
  let happened = false;
  const rng: Rng = {
    ...systemRng,
    bytes: (lengthBytes) => {
      if (!happened) meanwhile(pool.layout.snapshot('data', names[1]!), controller);
      happened = true;
      return systemRng.bytes(lengthBytes);
    },
  };
  const said = { stdout: '', stderr: '' };
  const context = contextOf(pool, { rng, said, signal: controller.signal });
  const ended = await actions[command]!(context).then(
    (exitCode) => ({ exitCode, error: undefined }),
    (error: unknown) => ({ exitCode: undefined, error }),
  );
  assert(happened, 'nothing happened meanwhile');
  const rows = JSON.parse(said.stdout) as { readonly name: string; readonly expired?: boolean }[];
  const shown = rows.map(({ name }) => name);
  const deleted = rows.filter(({ expired = true }) => expired).map(({ name }) => name);
  const left = pool.snapshots('data').map(({ snapshot }) => snapshot);
  return { ...ended, shown, deleted: deleted.sort(), told: said.stderr, left };
}

function contextOf(
  pool: Pool,
  {
    rng,
    said,
    signal,
  }: {
    readonly rng: Rng;
    readonly said: { stdout: string; stderr: string };
    readonly signal: AbortSignal;
  },
): CliContext {
  const sink = (to: 'stdout' | 'stderr') => ({
    write: (text: string | Uint8Array, done?: (error?: Error | null) => void) => {
      said[to] += String(text);
      done?.();
      return true;
    },
  });
  const streams = { stdin: process.stdin, stdout: sink('stdout'), stderr: sink('stderr') };
  const person = { userName: 'ann', hostName: 'host', homeDirectory: '/home/ann' };
  const env = { DRAY_POOL: pool.layout.root };
  const parts = { version: '0', env, ...streams, clock: systemClock, rng, signal, ...person };
  return new CliContext(parts, () => ({ output: 'json', tls: true, logLevel: 'info' }));
}

describe('several snapshots are deleted', { skip: fileSystemsMissing('xfs') }, () => {
  for (const command of Object.keys(actions)) {
    test(`${command} > one that cannot go keeps none of the others, and then is the error`, async () => {
      const { error, deleted, left } = await deleting(command, (second) => writeFileSync(join(second, 'mine'), ''));
      assert(hasCode(error, 'pool-foreign-file'), String(error));
      assert.deepEqual(deleted, [names[0], names[2]]);
      assert.deepEqual(left, [names[1], names[3]]);
    });

    test(`${command} > one that another removes meanwhile is no failure`, async () => {
      const ended = await deleting(command, (second) => rmSync(second, { recursive: true }));
      assert.deepEqual([ended.error, ended.exitCode], [undefined, 0]);
      assert.deepEqual(ended.deleted, [names[0], names[2]]);
      assert(!ended.shown.includes(names[1]!), 'what another removed is in the result');
      assert.match(ended.told, new RegExp(`another process has removed data@${names[1]} meanwhile`));
      assert.deepEqual(ended.left, [names[3]]);
    });

    test(`${command} > one that another makes anew under the same name meanwhile stays`, async () => {
      const ended = await deleting(command, (second) => {
        const path = join(second, 'snapshot.json');
        const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
        writeFileSync(path, JSON.stringify({ ...record, id: 'ab'.repeat(16) }));
      });
      assert.deepEqual([ended.error, ended.exitCode], [undefined, 0]);
      assert.deepEqual(ended.deleted, [names[0], names[2]]);
      assert.deepEqual(ended.left, [names[1], names[3]]);
    });

    test(`${command} > interrupted, it tells what is gone, and goes no further`, async () => {
      const reason = new Error('interrupted');
      const ended = await deleting(command, (_second, controller) => controller.abort(reason));
      assert.equal(ended.error, reason);
      // The oldest is first.
      assert.deepEqual([ended.deleted, ended.left], [[names[0]], names.slice(1)]);
      assert.doesNotMatch(ended.told, /was not deleted/);
    });
  }
});
