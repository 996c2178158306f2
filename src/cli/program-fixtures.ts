/** The command line without what stands behind it, for tests. */
import assert from 'node:assert/strict';
import { systemClock } from '../std/clock.ts';
import { seededRng } from '../std/rng.ts';
import type { Action } from './command.ts';
import { type CliActions, runCli } from './program.ts';
import type { CliContext, CliParts } from './shell/cli-context.ts';
import { type ExitCode, exitCodes } from './shell/exit-code.ts';

export interface Ran {
  readonly code: ExitCode;
  readonly stdout: string;
  readonly stderr: string;
  /** The action that ran, and the options that it got. */
  readonly command: string | undefined;
  readonly options: unknown;
}

export type Run = (context: CliContext) => Promise<ExitCode>;
const done: Run = async () => await Promise.resolve(exitCodes.done);

/** Runs a command line against actions that only say which of them ran; `body` is what it does. */
export async function dray(
  line: string | readonly string[],
  body: Run = done,
  parts: Partial<CliParts> = {},
): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  let command: string | undefined;
  let options: unknown;
  const action =
    (name: string): Action<unknown> =>
    async (context, given) => {
      command = name;
      options = given;
      return await body(context);
    };
  const actions = actionsBy(action);
  const world: CliParts = {
    version: '1.2.3',
    env: {},
    stdin: process.stdin,
    stdout: {
      write: (text: string, taken: (error?: Error | null) => void) => {
        stdout += text;
        taken();
      },
    },
    stderr: { write: (text: string) => (stderr += text) },
    clock: systemClock,
    rng: seededRng(1),
    signal: new AbortController().signal,
    userName: 'ann',
    hostName: 'Host-1.example.org',
    homeDirectory: '/home/ann',
    ...parts,
  };
  const code = await runCli(typeof line === 'string' ? line.split(' ') : line, world, actions);
  return { code, stdout, stderr, command, options };
}

/** The name is what the line begins with; what one command does in a pool has more of it. */
function actionsBy(action: (name: string) => Action<unknown>): CliActions {
  return {
    backup: action('backup'),
    restore: action('restore'),
    repositoryCreate: action('repository create'),
    repositoryStatus: action('repository status'),
    repositoryVerify: action('repository verify'),
    repositoryMaintain: action('repository maintain'),
    repositoryPassword: action('repository password'),
    snapshotList: action('snapshot list'),
    snapshotShow: action('snapshot show'),
    snapshotLs: action('snapshot ls'),
    snapshotCat: action('snapshot cat'),
    snapshotDiff: action('snapshot diff'),
    snapshotDelete: action('snapshot delete'),
    snapshotExpire: action('snapshot expire'),
    snapshotPin: action('snapshot pin'),
    poolCreate: action('pool create'),
    poolOpen: action('pool open'),
    poolClose: action('pool close'),
    poolStatus: action('pool status'),
    poolCheck: action('pool check'),
    poolForget: action('pool forget'),
    volumeCreate: action('volume create'),
    volumeList: action('volume list'),
    volumeShow: action('volume show'),
    volumeAttach: action('volume attach'),
    volumeDetach: action('volume detach'),
    volumeResize: action('volume resize'),
    volumeClone: action('volume clone'),
    volumeRevert: action('volume revert'),
    volumeRewrite: action('volume rewrite'),
    volumeDelete: action('volume delete'),
    snapshotCreate: action('snapshot create'),
    snapshotAttach: action('snapshot attach'),
    snapshotDetach: action('snapshot detach'),
    poolSnapshotList: action('snapshot list --volume'),
    poolSnapshotShow: action('snapshot show data@'),
    poolSnapshotDelete: action('snapshot delete data@'),
    poolSnapshotExpire: action('snapshot expire '),
    changes: action('changes'),
    poolChanges: action('changes data@'),
    storeCheck: action('store check'),
    tour: action('tour'),
  };
}

/** Each command line is wrong usage, told by such a message, and nothing runs. */
export async function refusesEach(expected: Readonly<Record<string, RegExp>>): Promise<void> {
  for (const [line, message] of Object.entries(expected)) {
    const ran = await dray(line);
    assert.equal(ran.code, 2, line);
    assert.equal(ran.command, undefined, line);
    assert.match(ran.stderr, message);
    assert.equal(ran.stdout, '', `${line}: stdout is for results`);
  }
}
