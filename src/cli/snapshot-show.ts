import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface SnapshotShowOptions {
  /** An id or its unique beginning. */
  readonly snapshot: string;
}

export function registerSnapshotShow(parent: Command, context: CliContext, action: Action<SnapshotShowOptions>): void {
  parent
    .command('show')
    .summary('show one snapshot')
    .description(
      'Shows what is known of a snapshot: source, times, size, parent, tags, pins, and how its changes were found.',
    )
    .argument('<snapshot>', 'the id of a snapshot, or its unique beginning')
    .addHelpText('after', examples('dray snapshot show 7f3a -r /backups', 'dray snapshot show 7f3a -o yaml'))
    .action(async (snapshot: string) => await run(context, action, { snapshot }));
}
