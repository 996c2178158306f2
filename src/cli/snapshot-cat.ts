import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface SnapshotCatOptions {
  /** An id or its unique beginning, and a path inside. */
  readonly snapshot: string;
}

export function registerSnapshotCat(parent: Command, context: CliContext, action: Action<SnapshotCatOptions>): void {
  parent
    .command('cat')
    .summary('print a file of a snapshot')
    .description('Writes the bytes of a file to standard output; each chunk is verified before it is written.')
    .argument('<snapshot/path>', 'the id of a snapshot, or its unique beginning, and the path of a file inside')
    .addHelpText(
      'after',
      examples('dray snapshot cat 7f3a/etc/hosts -r /backups', 'dray snapshot cat 7f3a/db.tar | tar t'),
    )
    .action(async (snapshot: string) => await run(context, action, { snapshot }));
}
