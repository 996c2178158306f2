import type { Command } from 'commander';
import type { ChangesOptions } from './changes.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { isPoolSnapshot } from './shell/option-values.ts';

export function registerSnapshotDiff(parent: Command, context: CliContext, action: Action<ChangesOptions>): void {
  parent
    .command('diff')
    .summary('list the extents in which two snapshots differ')
    .description(
      'Lists the extents in which two snapshots differ, as "dray changes" does. Only ids are compared; no data is read. With\n' +
        '-o json the result is a list that "dray backup --changes" takes.',
    )
    .argument('<from>', 'a snapshot')
    .argument('<to>', 'another one')
    .addHelpText('after', examples('dray snapshot diff 7f3a 9c01 -r /backups', 'dray snapshot diff 7f3a 9c01 -o json'))
    .action(async (from: string, to: string, _: unknown, command: Command) => {
      if ([from, to].some(isPoolSnapshot)) {
        command.error("error: snapshots of a pool are compared by 'dray changes'");
      }
      await run(context, action, { from, to });
    });
}
