import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { countOption } from './shell/option-values.ts';

const periods = ['latest', 'hourly', 'daily', 'weekly', 'monthly', 'annual'] as const;
export type RetentionPeriod = (typeof periods)[number];

export interface SnapshotExpireOptions {
  /** Only of this source: a path of this user and host, or `user@host:/path`. `undefined` is all. */
  readonly source: string | undefined;
  /** How many to keep of each kind, for the periods that were given; the policy decides on the others. */
  readonly keep: Readonly<Partial<Record<RetentionPeriod, number>>>;
  readonly dryRun: boolean;
}

export function registerSnapshotExpire(
  parent: Command,
  context: CliContext,
  action: Action<SnapshotExpireOptions>,
): void {
  const command = parent
    .command('expire')
    .summary('delete snapshots that the retention policy no longer keeps')
    .description(
      "Deletes the snapshots that Kopia's retention policy no longer keeps. The policies stored in the repository apply; an\n" +
        'option takes the place of what they say on that period. Pinned snapshots stay.',
    )
    .argument('[source]', 'only of this source: a path, or user@host:/path');
  for (const period of periods) {
    command.addOption(countOption(`--keep-${period} <n>`, `how many ${period} snapshots to keep`, { min: 0 }));
  }
  command
    .option('--dry-run', 'say what would be deleted and why, and delete nothing')
    .addHelpText(
      'after',
      examples('dray snapshot expire -r /backups --dry-run', 'dray snapshot expire disk.img --keep-daily 14'),
    )
    .action(async (source: string | undefined, { dryRun = false, ...flags }: Flags) => {
      const given = periods.flatMap((period) => {
        const count = flags[`keep${capital(period)}`];
        return count === undefined ? [] : [[period, count] as const];
      });
      await run(context, action, { source, keep: Object.fromEntries(given), dryRun });
    });
}

type Flags = { readonly dryRun?: boolean } & {
  readonly [Period in RetentionPeriod as `keep${Capitalize<Period>}`]?: number;
};

function capital<Text extends string>(text: Text): Capitalize<Text> {
  return (text.charAt(0).toUpperCase() + text.slice(1)) as Capitalize<Text>;
}
