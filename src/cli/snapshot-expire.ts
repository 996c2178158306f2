import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { countOption } from './shell/option-values.ts';

const periods = ['latest', 'hourly', 'daily', 'weekly', 'monthly', 'annual'] as const;
export type RetentionPeriod = (typeof periods)[number];

/** How many to keep of each kind, for the periods that were given. */
export type KeepCounts = Readonly<Partial<Record<RetentionPeriod, number>>>;

export interface SnapshotExpireOptions {
  /** Only of this source: `user@host:/path`, a volume of the pool, or a path of this user and host. `undefined` is all. */
  readonly source: string | undefined;
  /** The policy decides on the periods that were not given. */
  readonly keep: KeepCounts;
  readonly dryRun: boolean;
}

export interface PoolSnapshotExpireOptions {
  /** `undefined`: all of the pool. */
  readonly volumes: readonly string[] | undefined;
  /** At least one is more than 0. */
  readonly keep: KeepCounts;
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
        'option takes the place of what they say on that period, and pinned snapshots stay. A pool has no policy: at least one\n' +
        '--keep-… says what stays. There only snapshots that got no name are deleted, and counted; what a backup made or needs,\n' +
        'and what is attached or being read, stays.\n\n' +
        'A name is a volume of the pool, unless it has a slash, --repository is given, or only a file here has it. With no name\n' +
        'all of the repository is meant; all of the pool with --pool (without --repository), or when no repository is named.',
    )
    .argument(
      '[name...]',
      'only of these volumes of the pool; or of one source of a repository: a path, or user@host:/path',
    );
  for (const period of periods) {
    command.addOption(countOption(`--keep-${period} <n>`, `how many ${period} snapshots to keep`, { min: 0 }));
  }
  command
    .option('--named', 'of a pool, also those that got a name')
    .option('--dry-run', 'say what would be deleted and why, and delete nothing')
    .addHelpText(
      'after',
      examples(
        'dray snapshot expire -r /backups --dry-run',
        'dray snapshot expire ./disk.img --keep-daily 14',
        'dray snapshot expire data --keep-hourly 24 --keep-daily 7',
        'dray snapshot expire --pool /srv/pool --keep-latest 3',
      ),
    )
    .action(async (words: readonly string[], { dryRun = false, named = false, ...flags }: Flags, command: Command) => {
      const given = periods.flatMap((period) => {
        const count = flags[`keep${capital(period)}`];
        return count === undefined ? [] : [[period, count] as const];
      });
      const keep: KeepCounts = Object.fromEntries(given);
      // Asked before anything is opened: nobody should wait for a repository to expire what is in a pool.
      const { expireTarget } = await import('./actions/expire-target.ts');
      const target = await expireTarget(context, words);
      if (target.of === 'pool') {
        refuseKeepingNothing(command, keep);
        return await run(context, actions.poolSnapshotExpire, { volumes: target.volumes, keep, named, dryRun });
      }
      if (named) command.error("error: '--named' is only for snapshots of a pool");
      return await run(context, actions.snapshotExpire, { source: target.source, keep, dryRun });
    });
}

function refuseKeepingNothing(command: Command, keep: KeepCounts): void {
  const counts = Object.values(keep);
  if (counts.some((count) => count > 0)) return;
  command.error(
    counts.length === 0
      ? 'error: a pool has no policy: say what stays, as --keep-daily 7'
      : "error: nothing would stay: one --keep-… must be more than 0; 'dray snapshot delete' deletes what is named",
  );
}

type Flags = { readonly dryRun?: boolean; readonly named?: boolean } & {
  readonly [Period in RetentionPeriod as `keep${Capitalize<Period>}`]?: number;
};

function capital<Text extends string>(text: Text): Capitalize<Text> {
  return (text.charAt(0).toUpperCase() + text.slice(1)) as Capitalize<Text>;
}
