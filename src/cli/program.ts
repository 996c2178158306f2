/**
 * The command line as a whole: the tree of commands, the options that all of them share, and how a run ends. Each command
 * is a file that turns words into typed options; what is then done comes in as an action, so that a test can look at the
 * options alone and a program loads only the action that was asked for.
 */
import { Command, CommanderError, Option } from 'commander';
import { type BackupOptions, registerBackup } from './backup.ts';
import { type ChangesActions, registerChanges } from './changes.ts';
import type { Action } from './command.ts';
import type { PoolActions } from './pool-commands.ts';
import type { RepositoryActions } from './repository-commands.ts';
import { registerRestore, type RestoreOptions } from './restore.ts';
import { CliContext, type CliParts, type GlobalOptions } from './shell/cli-context.ts';
import { Interrupted } from './shell/cli-error.ts';
import { errorReport } from './shell/error-report.ts';
import { type ExitCode, exitCodeOf, exitCodes } from './shell/exit-code.ts';
import { logLevels } from './shell/log.ts';
import { outputFormats } from './shell/output.ts';
import type { SnapshotActions } from './snapshot-commands.ts';
import { registerStoreCheck, type StoreCheckOptions } from './store-check.ts';
import { registerTour, type TourOptions } from './tour.ts';
import type { VolumeActions } from './volume-commands.ts';

/** What each command does; some do one thing in a repository and another in a pool. */
export interface CliActions extends ChangesActions, SnapshotActions, VolumeActions, PoolActions, RepositoryActions {
  readonly backup: Action<BackupOptions>;
  readonly restore: Action<RestoreOptions>;
  readonly storeCheck: Action<StoreCheckOptions>;
  readonly tour: Action<TourOptions>;
}

/** Runs one command line (`args` without the program's name) to its end. Failures are reported on stderr, never thrown. */
export async function runCli(args: readonly string[], parts: CliParts, actions: CliActions): Promise<ExitCode> {
  const program = createProgram(parts);
  const context = new CliContext(parts, () => program.opts<GlobalOptions>());
  await registerCommands(program, context, actions, args);
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

/** The commands of a group are loaded where its name is among the words, for nothing else leads to them: they are many. */
async function registerCommands(
  program: Command,
  context: CliContext,
  actions: CliActions,
  words: readonly string[],
): Promise<void> {
  const isMeant = (group: Command): boolean => words.includes(group.name());
  registerBackup(program, context, actions.backup);
  registerRestore(program, context, actions.restore);
  const snapshot = program
    .command('snapshot')
    .description('Takes, lists, compares, keeps and deletes snapshots, of a pool and of a repository.');
  if (isMeant(snapshot)) {
    (await import('./snapshot-commands.ts')).registerSnapshotCommands(snapshot, context, actions);
  }
  registerChanges(program, context, actions);
  const volume = program
    .command('volume')
    .description('Makes, attaches, clones, reverts and deletes volumes of a pool.');
  if (isMeant(volume)) (await import('./volume-commands.ts')).registerVolumeCommands(volume, context, actions);
  const pool = program.command('pool').description('Makes, shows and checks pools, which hold volumes.');
  if (isMeant(pool)) (await import('./pool-commands.ts')).registerPoolCommands(pool, context, actions);
  const repository = program.command('repository').description('Makes, shows and checks repositories.');
  if (isMeant(repository)) {
    (await import('./repository-commands.ts')).registerRepositoryCommands(repository, context, actions);
  }
  const store = program.command('store').description('Looks at what repositories lie on.');
  registerStoreCheck(store, context, actions.storeCheck);
  registerTour(program, context, actions.tour);
}
