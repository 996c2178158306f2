import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface SnapshotDeleteOptions {
  /** Ids or their unique beginnings; at least one. */
  readonly snapshots: readonly string[];
  readonly dryRun: boolean;
  /** Delete pinned snapshots too. */
  readonly force: boolean;
}

export function registerSnapshotDelete(
  parent: Command,
  context: CliContext,
  action: Action<SnapshotDeleteOptions>,
): void {
  parent
    .command('delete')
    .summary('delete snapshots')
    .description(
      'Deletes snapshots. Others are not touched, whatever they share with it; the space comes back with the next maintenance.',
    )
    .argument('<snapshot...>', 'ids of snapshots, or their unique beginnings')
    .option('--dry-run', 'say what would be deleted, and delete nothing')
    .option('--force', 'delete pinned snapshots too')
    .addHelpText('after', examples('dray snapshot delete 7f3a 9c01 -r /backups', 'dray snapshot delete 7f3a --dry-run'))
    .action(
      async (
        snapshots: readonly string[],
        { dryRun = false, force = false }: { readonly dryRun?: boolean; readonly force?: boolean },
      ) => {
        await run(context, action, { snapshots, dryRun, force });
      },
    );
}
