import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface SnapshotLsOptions {
  /** An id or its unique beginning, and perhaps a path inside. */
  readonly snapshot: string;
  /** Mode, owner, size and time of each entry. */
  readonly long: boolean;
  /** Everything below, too. */
  readonly recursive: boolean;
}

export function registerSnapshotLs(parent: Command, context: CliContext, action: Action<SnapshotLsOptions>): void {
  parent
    .command('ls')
    .summary('list the files in a snapshot')
    .description('Lists a folder of a snapshot, or one file; nothing but listings is read.')
    .argument('<snapshot[/path]>', 'the id of a snapshot, or its unique beginning, and perhaps a path inside')
    .option('-l, --long', 'show mode, owner, size and time')
    .option('--recursive', 'list everything below, too')
    .addHelpText('after', examples('dray snapshot ls 7f3a -r /backups', 'dray snapshot ls 7f3a/etc -l --recursive'))
    .action(async (snapshot: string, { long = false, recursive = false }: Partial<SnapshotLsOptions>) => {
      await run(context, action, { snapshot, long, recursive });
    });
}
