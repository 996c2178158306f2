import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface SnapshotDiffOptions {
  /** The older one: ids or their unique beginnings. */
  readonly from: string;
  readonly to: string;
}

export function registerSnapshotDiff(parent: Command, context: CliContext, action: Action<SnapshotDiffOptions>): void {
  parent
    .command('diff')
    .summary('list the extents in which two snapshots differ')
    .description(
      'Lists the extents in which two snapshots differ. Only ids are compared; no data is read. With -o json the result is a\n' +
        'list that "dray backup --changes" takes.',
    )
    .argument('<from>', 'a snapshot')
    .argument('<to>', 'another one')
    .addHelpText('after', examples('dray snapshot diff 7f3a 9c01 -r /backups', 'dray snapshot diff 7f3a 9c01 -o json'))
    .action(async (from: string, to: string) => await run(context, action, { from, to }));
}
