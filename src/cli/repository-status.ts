import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

/** No options of its own. */
export type RepositoryStatusOptions = Readonly<Record<never, never>>;

export function registerRepositoryStatus(
  parent: Command,
  context: CliContext,
  action: Action<RepositoryStatusOptions>,
): void {
  parent
    .command('status')
    .summary('show what a repository is and holds')
    .description('Shows the format, the algorithms, how many contents and snapshots there are and what they take.')
    .addHelpText('after', examples('dray repository status -r /backups', 'dray repository status -o json'))
    .action(async () => await run(context, action, {}));
}
