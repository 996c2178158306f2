import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface PoolCheckOptions {
  /** `undefined`: the pool that `--pool` or the environment names. */
  readonly directory: string | undefined;
  readonly dryRun: boolean;
  /** Take what cannot be mended out of the pool. */
  readonly removeDamaged: boolean;
  /** Give up unfinished restores. */
  readonly removeUnfinished: boolean;
}

export function registerPoolCheck(parent: Command, context: CliContext, action: Action<PoolCheckOptions>): void {
  parent
    .command('check')
    .summary('look for what a crash has left, and mend it')
    .description(
      'Looks at every record and image of a pool. What a killed command left is cleared away, and records that are lost are\n' +
        'made again. Lost images are named, and stay named until they are removed. Exit status 4 while something is lost, 1\n' +
        'while something else is left for you to mend. What the pool did not make is named, and never removed.',
    )
    .argument('[dir]', 'the directory (default: --pool or DRAY_POOL)')
    .option('--dry-run', 'say what would be done, and change nothing')
    .option('--remove-damaged', 'remove what is beyond mending, for good')
    .option('--remove-unfinished', 'remove what interrupted restores have left; those that still run go on')
    .addHelpText(
      'after',
      examples('dray pool check /srv/pool --dry-run', 'dray pool check', 'dray pool check --remove-damaged --dry-run'),
    )
    .action(
      async (
        directory: string | undefined,
        { dryRun = false, removeDamaged = false, removeUnfinished = false }: Flags,
      ) => {
        await run(context, action, { directory, dryRun, removeDamaged, removeUnfinished });
      },
    );
}

interface Flags {
  readonly dryRun?: boolean;
  readonly removeDamaged?: boolean;
  readonly removeUnfinished?: boolean;
}
