import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface PoolStatusOptions {
  /** `undefined`: the pool that `--pool` or the environment names. */
  readonly directory: string | undefined;
}

export function registerPoolStatus(parent: Command, context: CliContext, action: Action<PoolStatusOptions>): void {
  parent
    .command('status')
    .summary('show what a pool holds and what it takes')
    .description(
      'Shows volumes and snapshots, what they take and share, the room that is left, and whether all is well. Only maps are\n' +
        'read, no data.',
    )
    .argument('[dir]', 'the directory (default: --pool or DRAY_POOL)')
    .addHelpText('after', examples('dray pool status /srv/pool', 'dray pool status -o json'))
    .action(async (directory: string | undefined) => await run(context, action, { directory }));
}
