import { type Command, Option } from 'commander';
import type { RetentionPolicy } from '../std/retention.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { countOption, volumeNames } from './shell/option-values.ts';

const periods = ['latest', 'hourly', 'daily', 'weekly', 'monthly', 'annual'] as const;

export interface SnapshotExpireOptions {
  /** Only of this source: `user@host:/path`, a volume of the pool, or a path of this user and host. `undefined` is all. */
  readonly source: string | undefined;
  /** The repository's policy decides on the periods that were not given. */
  readonly keep: RetentionPolicy;
  readonly dryRun: boolean;
}

export interface PoolSnapshotExpireOptions {
  /** `undefined`: all of the pool. */
  readonly volumes: readonly string[] | undefined;
  /** At least one is more than 0. */
  readonly keep: RetentionPolicy;
  /** Also snapshots that got a name. */
  readonly named: boolean;
  readonly dryRun: boolean;
}

export interface SnapshotExpireActions {
  readonly snapshotExpire: Action<SnapshotExpireOptions>;
  readonly poolSnapshotExpire: Action<PoolSnapshotExpireOptions>;
}

export function registerSnapshotExpire(parent: Command, context: CliContext, actions: SnapshotExpireActions): void {
  const command = parent
    .command('expire')
    .summary('delete snapshots that retention no longer keeps')
    .description(
      "Deletes the snapshots that Kopia's retention policy no longer keeps. Of a repository the policies stored in it apply; an\n" +
        'option takes the place of what they say on that period, and pinned snapshots stay. A pool (--volume, --all-volumes) has\n' +
        'no policy: at least one --keep-… says what stays. There only snapshots that got no name are deleted, and counted; what\n' +
        'a backup made or needs, and what is attached or being read, stays.',
    )
    .argument('[source]', 'only of this source: a path, a volume of the pool, or user@host:/path')
    .addOption(
      new Option('--volume <name...>', 'the snapshots that the pool has of these volumes')
        .argParser(volumeNames)
        .conflicts('allVolumes'),
    )
    .option('--all-volumes', 'the snapshots of all volumes of the pool');
  for (const period of periods) {
    command.addOption(countOption(`--keep-${period} <n>`, `how many ${period} snapshots to keep`, { min: 0 }));
  }
  command
    .option('--named', 'with --volume or --all-volumes, also those that got a name')
    .option('--dry-run', 'say what would be deleted and why, and delete nothing')
    .addHelpText(
      'after',
      examples(
        'dray snapshot expire -r /backups --dry-run',
        'dray snapshot expire disk.img --keep-daily 14',
        'dray snapshot expire --volume data --keep-hourly 24 --keep-daily 7',
        'dray snapshot expire --all-volumes --keep-latest 3',
      ),
    )
    .action(async (source: string | undefined, flags: Flags, command: Command) => {
      const { volume: volumes, allVolumes = false, named = false, dryRun = false, ...keep } = flags;
      if (volumes === undefined && !allVolumes) {
        if (named) command.error("error: option '--named' is only for '--volume' and '--all-volumes'");
        return await run(context, actions.snapshotExpire, { source, keep, dryRun });
      }
      if (source !== undefined) {
        command.error("error: '--volume' and '--all-volumes' cannot be used with a source, which is of a repository");
      }
      refuseKeepingNothing(command, keep);
      return await run(context, actions.poolSnapshotExpire, { volumes, keep, named, dryRun });
    });
}

function refuseKeepingNothing(command: Command, keep: RetentionPolicy): void {
  const counts = Object.values(keep);
  if (counts.some((count) => count > 0)) return;
  command.error(
    counts.length === 0
      ? 'error: a pool has no policy: say what stays, as --keep-daily 7'
      : "error: nothing would stay: one --keep-… must be more than 0; 'dray snapshot delete' deletes what is named",
  );
}

/** `--keep-daily` is `keepDaily` to commander, and to a policy. */
interface Flags extends RetentionPolicy {
  readonly volume?: readonly string[];
  readonly allVolumes?: boolean;
  readonly dryRun?: boolean;
  readonly named?: boolean;
}
