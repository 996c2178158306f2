/**
 * `dray`, one process per command: the only place that reads the process's environment and joins the command line to the
 * actions behind it. Each action is loaded when its command runs, so that `dray --version` loads none of them.
 */
import { readFileSync } from 'node:fs';
import { homedir, hostname, userInfo } from 'node:os';
import type { OpeningOptions } from '../cli/actions/begin-opening.ts';
import type { RepositoryAction } from '../cli/actions/open-repository.ts';
import type { Action } from '../cli/command.ts';
import { type CliActions, runCli } from '../cli/program.ts';
import { exitCodes } from '../cli/shell/exit-code.ts';
import { watchSignals } from '../cli/shell/signals.ts';
import { letGoOfOutputFiles } from '../kernel/output-at-exit.ts';
import { systemClock } from '../std/clock.ts';
import { systemRng } from '../std/rng.ts';

const actions: CliActions = {
  backup: opening(async () => (await import('../cli/actions/backup.ts')).backup),
  restore: opening(async () => (await import('../cli/actions/restore.ts')).restore),
  repositoryCreate: async (...call) =>
    await (await import('../cli/actions/repository-create.ts')).repositoryCreate(...call),
  repositoryStatus: opening(async () => (await import('../cli/actions/repository-status.ts')).repositoryStatus),
  repositoryPassword: async (...call) =>
    await (await import('../cli/actions/repository-password.ts')).repositoryPassword(...call),
  repositoryVerify: opening(async () => (await import('../cli/actions/repository-verify.ts')).repositoryVerify),
  repositoryMaintain: opening(async () => (await import('../cli/actions/repository-maintain.ts')).repositoryMaintain),
  snapshotList: opening(async () => (await import('../cli/actions/snapshot-list.ts')).snapshotList),
  snapshotShow: opening(async () => (await import('../cli/actions/snapshot-show.ts')).snapshotShow),
  snapshotLs: opening(async () => (await import('../cli/actions/snapshot-ls.ts')).snapshotLs),
  snapshotCat: opening(async () => (await import('../cli/actions/snapshot-cat.ts')).snapshotCat),
  snapshotDiff: opening(async () => (await import('../cli/actions/changes.ts')).changes),
  snapshotDelete: opening(async () => (await import('../cli/actions/snapshot-delete.ts')).snapshotDelete),
  snapshotExpire: opening(async () => (await import('../cli/actions/snapshot-expire.ts')).snapshotExpire),
  snapshotPin: opening(async () => (await import('../cli/actions/snapshot-pin.ts')).snapshotPin),
  changes: opening(async () => (await import('../cli/actions/changes.ts')).changes),
  storeCheck: async (...call) => await (await import('../cli/actions/store-check.ts')).storeCheck(...call),
  tour: async (...call) => await (await import('../cli/actions/tour.ts')).tour(...call),
  poolCreate: async (...call) => await (await import('../cli/actions/pool-create.ts')).poolCreate(...call),
  poolOpen: async (...call) => await (await import('../cli/actions/pool-open.ts')).poolOpen(...call),
  poolClose: async (...call) => await (await import('../cli/actions/pool-close.ts')).poolClose(...call),
  poolStatus: async (...call) => await (await import('../cli/actions/pool-status.ts')).poolStatus(...call),
  poolCheck: async (...call) => await (await import('../cli/actions/pool-check.ts')).poolCheck(...call),
  poolForget: async (...call) => await (await import('../cli/actions/pool-forget.ts')).poolForget(...call),
  volumeCreate: async (...call) => await (await import('../cli/actions/volume-create.ts')).volumeCreate(...call),
  volumeList: async (...call) => await (await import('../cli/actions/volume-list.ts')).volumeList(...call),
  volumeShow: async (...call) => await (await import('../cli/actions/volume-show.ts')).volumeShow(...call),
  volumeAttach: async (...call) => await (await import('../cli/actions/volume-attach.ts')).volumeAttach(...call),
  volumeDetach: async (...call) => await (await import('../cli/actions/volume-detach.ts')).volumeDetach(...call),
  volumeResize: async (...call) => await (await import('../cli/actions/volume-resize.ts')).volumeResize(...call),
  volumeClone: async (...call) => await (await import('../cli/actions/volume-clone.ts')).volumeClone(...call),
  volumeRevert: async (...call) => await (await import('../cli/actions/volume-revert.ts')).volumeRevert(...call),
  volumeRewrite: async (...call) => await (await import('../cli/actions/volume-rewrite.ts')).volumeRewrite(...call),
  volumeDelete: async (...call) => await (await import('../cli/actions/volume-delete.ts')).volumeDelete(...call),
  snapshotCreate: async (...call) => await (await import('../cli/actions/snapshot-create.ts')).snapshotCreate(...call),
  snapshotAttach: async (...call) => await (await import('../cli/actions/snapshot-attach.ts')).snapshotAttach(...call),
  snapshotDetach: async (...call) => await (await import('../cli/actions/snapshot-detach.ts')).snapshotDetach(...call),
  poolSnapshotList: async (...call) =>
    await (await import('../cli/actions/pool-snapshot-list.ts')).poolSnapshotList(...call),
  poolSnapshotShow: async (...call) =>
    await (await import('../cli/actions/pool-snapshot-show.ts')).poolSnapshotShow(...call),
  poolSnapshotDelete: async (...call) =>
    await (await import('../cli/actions/pool-snapshot-delete.ts')).poolSnapshotDelete(...call),
  poolSnapshotExpire: async (...call) =>
    await (await import('../cli/actions/pool-snapshot-expire.ts')).poolSnapshotExpire(...call),
  poolChanges: async (...call) => await (await import('../cli/actions/pool-changes.ts')).poolChanges(...call),
};

/** The repository's key is made, on another thread, while the action is loaded. */
function opening<Options extends object>(
  load: () => Promise<RepositoryAction<Options>>,
): Action<Options & OpeningOptions> {
  return async (context, options) => {
    const { RepositoryOpening } = await import('../cli/actions/begin-opening.ts');
    await using repository = new RepositoryOpening(context, options);
    await repository.begin();
    const action = await load();
    return await action(context, options, repository);
  };
}

const controller = new AbortController();
using _signals = watchSignals({
  emitter: process,
  controller,
  clock: systemClock,
  say: (text) => process.stderr.write(text),
  exit: (code) => process.exit(code),
});
// A reader that has seen enough, such as `head`, ends a command without a word, as it does others, but not as done: what was left out may
// have been the damage. A terminal that is gone cannot be told anything.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.readerGone);
  process.stderr.write(`dray: the result could not be written to standard output: ${error.message}\n`);
  process.exit(exitCodes.failed);
});
process.stderr.on('error', () => {});
// Node tells of a defect after the event.
let isDefect = false;
process.on('uncaughtExceptionMonitor', () => (isDefect = true));
process.on('exit', () => isDefect || letGoOfOutputFiles());

process.exitCode = await runCli(
  process.argv.slice(2),
  {
    version: packageVersion(),
    env: process.env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    clock: systemClock,
    rng: systemRng,
    signal: controller.signal,
    userName: userInfo().username,
    hostName: hostname(),
    homeDirectory: homedir(),
  },
  actions,
);

/** From the manifest two folders up, which is the same place for `src/` and for the published `dist/`. */
function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return (manifest as { readonly version: string }).version;
}
