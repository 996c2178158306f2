/**
 * `dray`, one process per command: the only place that reads the process's environment and joins the command line to the
 * actions behind it. Each action is loaded when its command runs, so that `dray --version` loads none of them.
 */
import { readFileSync } from 'node:fs';
import { homedir, hostname, userInfo } from 'node:os';
import { type CliActions, runCli } from '../cli/program.ts';
import { exitCodes } from '../cli/shell/exit-code.ts';
import { watchSignals } from '../cli/shell/signals.ts';
import { systemClock } from '../std/clock.ts';
import { systemRng } from '../std/rng.ts';

const actions: CliActions = {
  backup: async (...call) => await (await import('../cli/actions/backup.ts')).backup(...call),
  restore: async (...call) => await (await import('../cli/actions/restore.ts')).restore(...call),
  repositoryCreate: async (...call) =>
    await (await import('../cli/actions/repository-create.ts')).repositoryCreate(...call),
  repositoryStatus: async (...call) =>
    await (await import('../cli/actions/repository-status.ts')).repositoryStatus(...call),
  repositoryPassword: async (...call) =>
    await (await import('../cli/actions/repository-password.ts')).repositoryPassword(...call),
  snapshotList: async (...call) => await (await import('../cli/actions/snapshot-list.ts')).snapshotList(...call),
  snapshotShow: async (...call) => await (await import('../cli/actions/snapshot-show.ts')).snapshotShow(...call),
  snapshotDiff: async (...call) => await (await import('../cli/actions/snapshot-diff.ts')).snapshotDiff(...call),
  snapshotDelete: async (...call) => await (await import('../cli/actions/snapshot-delete.ts')).snapshotDelete(...call),
  snapshotExpire: async (...call) => await (await import('../cli/actions/snapshot-expire.ts')).snapshotExpire(...call),
  snapshotPin: async (...call) => await (await import('../cli/actions/snapshot-pin.ts')).snapshotPin(...call),
  repositoryVerify: async (...call) =>
    await (await import('../cli/actions/repository-verify.ts')).repositoryVerify(...call),
  tour: async (...call) => await (await import('../cli/actions/tour.ts')).tour(...call),
};

const controller = new AbortController();
using _signals = watchSignals({
  emitter: process,
  controller,
  clock: systemClock,
  say: (text) => process.stderr.write(text),
  exit: (code) => process.exit(code),
});
// A reader that has seen enough, such as `head`, is no failure; a terminal that is gone cannot be told anything.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? exitCodes.done : exitCodes.failed),
);
process.stderr.on('error', () => {});

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
