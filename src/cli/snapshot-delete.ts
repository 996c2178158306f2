import type { Command } from 'commander';
import { parseSnapshotName, type SnapshotName } from '../pool/pool-names.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { isPoolSnapshot } from './shell/option-values.ts';

export interface SnapshotDeleteOptions {
  /** Ids or their unique beginnings; at least one. */
  readonly snapshots: readonly string[];
  readonly dryRun: boolean;
  /** Delete pinned snapshots too. */
  readonly force: boolean;
}

export interface PoolSnapshotDeleteOptions {
  /** At least one. */
  readonly snapshots: readonly SnapshotName[];
  readonly dryRun: boolean;
  /** Also those that the next backup needs. */
  readonly force: boolean;
}

export interface SnapshotDeleteActions {
  readonly snapshotDelete: Action<SnapshotDeleteOptions>;
  readonly poolSnapshotDelete: Action<PoolSnapshotDeleteOptions>;
}

export function registerSnapshotDelete(parent: Command, context: CliContext, actions: SnapshotDeleteActions): void {
  parent
    .command('delete')
    .summary('delete snapshots')
    .description(
      'Deletes snapshots. Others are not touched, whatever they share with it; the space comes back with the next\n' +
        'maintenance, of snapshots of the pool at once.',
    )
    .argument('<snapshot...>', 'ids of snapshots, or their unique beginnings; VOLUME@SNAPSHOT for those of the pool')
    .option('--dry-run', 'say what would be deleted, and delete nothing')
    .option('--force', 'delete pinned snapshots too, and of the pool those that the next backup needs')
    .addHelpText(
      'after',
      examples(
        'dray snapshot delete 7f3a 9c01 -r /backups',
        'dray snapshot delete 7f3a --dry-run',
        'dray snapshot delete data@monday',
      ),
    )
    .action(async (given: readonly string[], { dryRun = false, force = false }: Flags, command: Command) => {
      // What is gone cannot be deleted once more.
      const names = [...new Set(given)];
      const ofPool = names.filter(isPoolSnapshot);
      if (ofPool.length === 0) return await run(context, actions.snapshotDelete, { snapshots: names, dryRun, force });
      if (ofPool.length < names.length) command.error('error: some are of the pool and some of the repository');
      const snapshots = ofPool.map(parseSnapshotName);
      return await run(context, actions.poolSnapshotDelete, { snapshots, dryRun, force });
    });
}

interface Flags {
  readonly dryRun?: boolean;
  readonly force?: boolean;
}
