/**
 * The command line as a whole: the tree of commands, the options that all of them share, and how a run ends. Each command
 * is a file that turns words into typed options; what is then done comes in as an action, so that a test can look at the
 * options alone and a program loads only the action that was asked for.
 */
import { Command, CommanderError, Option } from 'commander';
import { type BackupOptions, registerBackup } from './backup.ts';
import { type ChangesActions, type ChangesOptions, registerChanges } from './changes.ts';
import type { Action } from './command.ts';
import { type PoolCheckOptions, registerPoolCheck } from './pool-check.ts';
import { type PoolCloseOptions, registerPoolClose } from './pool-close.ts';
import { type PoolCreateOptions, registerPoolCreate } from './pool-create.ts';
import { type PoolForgetOptions, registerPoolForget } from './pool-forget.ts';
import { type PoolOpenOptions, registerPoolOpen } from './pool-open.ts';
import { type PoolStatusOptions, registerPoolStatus } from './pool-status.ts';
import { registerRepositoryCreate, type RepositoryCreateOptions } from './repository-create.ts';
import { registerRepositoryMaintain, type RepositoryMaintainOptions } from './repository-maintain.ts';
import { registerRepositoryPassword, type RepositoryPasswordOptions } from './repository-password.ts';
import { registerRepositoryStatus, type RepositoryStatusOptions } from './repository-status.ts';
import { registerRepositoryVerify, type RepositoryVerifyOptions } from './repository-verify.ts';
import { registerRestore, type RestoreOptions } from './restore.ts';
import { CliContext, type CliParts, type GlobalOptions } from './shell/cli-context.ts';
import { Interrupted } from './shell/cli-error.ts';
import { errorReport } from './shell/error-report.ts';
import { type ExitCode, exitCodeOf, exitCodes } from './shell/exit-code.ts';
import { logLevels } from './shell/log.ts';
import { outputFormats } from './shell/output.ts';
import { registerSnapshotAttach, type SnapshotAttachOptions } from './snapshot-attach.ts';
import { registerSnapshotCat, type SnapshotCatOptions } from './snapshot-cat.ts';
import { registerSnapshotCreate, type SnapshotCreateOptions } from './snapshot-create.ts';
import { registerSnapshotDelete, type SnapshotDeleteActions } from './snapshot-delete.ts';
import { registerSnapshotDetach, type SnapshotDetachOptions } from './snapshot-detach.ts';
import { registerSnapshotDiff } from './snapshot-diff.ts';
import { registerSnapshotExpire, type SnapshotExpireOptions } from './snapshot-expire.ts';
import { registerSnapshotList, type SnapshotListActions } from './snapshot-list.ts';
import { registerSnapshotLs, type SnapshotLsOptions } from './snapshot-ls.ts';
import { registerSnapshotPin, type SnapshotPinOptions } from './snapshot-pin.ts';
import { registerSnapshotShow, type SnapshotShowActions } from './snapshot-show.ts';
import { registerStoreCheck, type StoreCheckOptions } from './store-check.ts';
import { registerTour, type TourOptions } from './tour.ts';
import { registerVolumeAttach, type VolumeAttachOptions } from './volume-attach.ts';
import { registerVolumeClone, type VolumeCloneOptions } from './volume-clone.ts';
import { registerVolumeCreate, type VolumeCreateOptions } from './volume-create.ts';
import { registerVolumeDelete, type VolumeDeleteOptions } from './volume-delete.ts';
import { registerVolumeDetach, type VolumeDetachOptions } from './volume-detach.ts';
import { registerVolumeList, type VolumeListOptions } from './volume-list.ts';
import { registerVolumeResize, type VolumeResizeOptions } from './volume-resize.ts';
import { registerVolumeRevert, type VolumeRevertOptions } from './volume-revert.ts';
import { registerVolumeRewrite, type VolumeRewriteOptions } from './volume-rewrite.ts';
import { registerVolumeShow, type VolumeShowOptions } from './volume-show.ts';

/** What each command does; some do one thing in a repository and another in a pool. */
export interface CliActions extends ChangesActions, SnapshotDeleteActions, SnapshotListActions, SnapshotShowActions {
  readonly backup: Action<BackupOptions>;
  readonly restore: Action<RestoreOptions>;
  readonly repositoryCreate: Action<RepositoryCreateOptions>;
  readonly repositoryStatus: Action<RepositoryStatusOptions>;
  readonly repositoryVerify: Action<RepositoryVerifyOptions>;
  readonly repositoryMaintain: Action<RepositoryMaintainOptions>;
  readonly repositoryPassword: Action<RepositoryPasswordOptions>;
  readonly poolCreate: Action<PoolCreateOptions>;
  readonly poolOpen: Action<PoolOpenOptions>;
  readonly poolClose: Action<PoolCloseOptions>;
  readonly poolStatus: Action<PoolStatusOptions>;
  readonly poolCheck: Action<PoolCheckOptions>;
  readonly poolForget: Action<PoolForgetOptions>;
  readonly volumeCreate: Action<VolumeCreateOptions>;
  readonly volumeList: Action<VolumeListOptions>;
  readonly volumeShow: Action<VolumeShowOptions>;
  readonly volumeAttach: Action<VolumeAttachOptions>;
  readonly volumeDetach: Action<VolumeDetachOptions>;
  readonly volumeResize: Action<VolumeResizeOptions>;
  readonly volumeClone: Action<VolumeCloneOptions>;
  readonly volumeRevert: Action<VolumeRevertOptions>;
  readonly volumeRewrite: Action<VolumeRewriteOptions>;
  readonly volumeDelete: Action<VolumeDeleteOptions>;
  readonly snapshotCreate: Action<SnapshotCreateOptions>;
  readonly snapshotAttach: Action<SnapshotAttachOptions>;
  readonly snapshotDetach: Action<SnapshotDetachOptions>;
  readonly snapshotLs: Action<SnapshotLsOptions>;
  readonly snapshotCat: Action<SnapshotCatOptions>;
  readonly snapshotDiff: Action<ChangesOptions>;
  readonly snapshotExpire: Action<SnapshotExpireOptions>;
  readonly snapshotPin: Action<SnapshotPinOptions>;
  readonly storeCheck: Action<StoreCheckOptions>;
  readonly tour: Action<TourOptions>;
}

/** Runs one command line (`args` without the program's name) to its end. Failures are reported on stderr, never thrown. */
export async function runCli(args: readonly string[], parts: CliParts, actions: CliActions): Promise<ExitCode> {
  const program = createProgram(parts);
  const context = new CliContext(parts, () => program.opts<GlobalOptions>());
  registerCommands(program, context, actions);
  let attempted = '';
  // The command's name only: an argument may be a URL with a password in it. What it was about stands in the error.
  program.hook('preAction', (_program, command) => {
    attempted = command.parent === program ? command.name() : `${command.parent?.name()} ${command.name()}`;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return context.exitCode;
  } catch (error) {
    context.endProgress();
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    parts.stderr.write(errorReport(error, { attempted, stacks: context.debugging }));
    const interrupted = parts.signal.reason instanceof Interrupted;
    return interrupted ? exitCodes.interrupted : exitCodeOf(error);
  } finally {
    context.endProgress();
  }
}

function createProgram({ version, stdout, stderr }: CliParts): Command {
  return (
    new Command('dray')
      .description('Keeps the volumes of containers, and moves their data to a Kopia-compatible repository and back.')
      .version(version, '-V, --version', 'print the version')
      .helpOption('-h, --help', 'show what a command takes')
      .option('-r, --repository <url>', 'the repository: a path, file:///path or s3://bucket/prefix (DRAY_REPOSITORY)')
      .option('--pool <dir>', 'the directory of the pool (DRAY_POOL)')
      .option('--password-file <path>', 'read the password from a file (else DRAY_PASSWORD, or a question)')
      .option('--password-command <command>', 'read the password from what a command prints')
      .option('--cache-dir <path>', 'where the local cache lies (DRAY_CACHE_DIR); it may be deleted at any time')
      .option('--identity <user@host>', 'act as this user and host, as kopia names the owner of a snapshot')
      .option('--no-tls', 'allow an S3 endpoint that begins with http://, which anybody on the way can read')
      .addOption(new Option('-o, --output <format>', 'form of the result').choices(outputFormats).default('table'))
      .option('-q, --quiet', 'no progress and no remarks; warnings and errors stay')
      .addOption(new Option('--log-level <level>', 'how much to tell').choices(logLevels).default('info'))
      // Inherited by every command made from here on.
      .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
      .configureOutput({
        writeOut: (text) => stdout.write(text, () => {}),
        writeErr: (text) => stderr.write(text),
        getOutHelpWidth: () => 120,
        getErrHelpWidth: () => 120,
      })
      .showSuggestionAfterError()
      .showHelpAfterError('(add --help to see what the command takes)')
      .exitOverride()
  );
}

function registerCommands(program: Command, context: CliContext, actions: CliActions): void {
  registerBackup(program, context, actions.backup);
  registerRestore(program, context, actions.restore);
  const snapshot = program
    .command('snapshot')
    .description('Takes, lists, compares, keeps and deletes snapshots, of a pool and of a repository.');
  registerSnapshotCreate(snapshot, context, actions.snapshotCreate);
  registerSnapshotList(snapshot, context, actions);
  registerSnapshotShow(snapshot, context, actions);
  registerSnapshotLs(snapshot, context, actions.snapshotLs);
  registerSnapshotCat(snapshot, context, actions.snapshotCat);
  registerSnapshotDiff(snapshot, context, actions.snapshotDiff);
  registerSnapshotPin(snapshot, context, actions.snapshotPin);
  registerSnapshotExpire(snapshot, context, actions.snapshotExpire);
  registerSnapshotDelete(snapshot, context, actions);
  registerSnapshotAttach(snapshot, context, actions.snapshotAttach);
  registerSnapshotDetach(snapshot, context, actions.snapshotDetach);
  registerChanges(program, context, actions);
  registerPoolCommands(program, context, actions);
  const repository = program.command('repository').description('Makes, shows and checks repositories.');
  registerRepositoryCreate(repository, context, actions.repositoryCreate);
  registerRepositoryStatus(repository, context, actions.repositoryStatus);
  registerRepositoryVerify(repository, context, actions.repositoryVerify);
  registerRepositoryMaintain(repository, context, actions.repositoryMaintain);
  registerRepositoryPassword(repository, context, actions.repositoryPassword);
  const store = program.command('store').description('Looks at what repositories lie on.');
  registerStoreCheck(store, context, actions.storeCheck);
  registerTour(program, context, actions.tour);
}

function registerPoolCommands(program: Command, context: CliContext, actions: CliActions): void {
  const volume = program
    .command('volume')
    .description('Makes, attaches, clones, reverts and deletes volumes of a pool.');
  registerVolumeCreate(volume, context, actions.volumeCreate);
  registerVolumeList(volume, context, actions.volumeList);
  registerVolumeShow(volume, context, actions.volumeShow);
  registerVolumeAttach(volume, context, actions.volumeAttach);
  registerVolumeDetach(volume, context, actions.volumeDetach);
  registerVolumeResize(volume, context, actions.volumeResize);
  registerVolumeClone(volume, context, actions.volumeClone);
  registerVolumeRevert(volume, context, actions.volumeRevert);
  registerVolumeRewrite(volume, context, actions.volumeRewrite);
  registerVolumeDelete(volume, context, actions.volumeDelete);
  const pool = program.command('pool').description('Makes, shows and checks pools, which hold volumes.');
  registerPoolCreate(pool, context, actions.poolCreate);
  registerPoolOpen(pool, context, actions.poolOpen);
  registerPoolClose(pool, context, actions.poolClose);
  registerPoolStatus(pool, context, actions.poolStatus);
  registerPoolCheck(pool, context, actions.poolCheck);
  registerPoolForget(pool, context, actions.poolForget);
}
