import type { Command } from 'commander';
import { parseSnapshotName, type SnapshotName } from '../pool/pool-names.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { isPoolSnapshot } from './shell/option-values.ts';

export interface SnapshotShowOptions {
  /** An id or its unique beginning. */
  readonly snapshot: string;
}

export interface PoolSnapshotShowOptions {
  readonly snapshot: SnapshotName;
}

export interface SnapshotShowActions {
  readonly snapshotShow: Action<SnapshotShowOptions>;
  readonly poolSnapshotShow: Action<PoolSnapshotShowOptions>;
}

export function registerSnapshotShow(parent: Command, context: CliContext, actions: SnapshotShowActions): void {
  parent
    .command('show')
    .summary('show one snapshot')
    .description(
      'Shows what is known of a snapshot: source, times, size, parent, tags, pins, and how its changes were found.',
    )
    .argument('<snapshot>', 'the id of a snapshot, or its unique beginning; VOLUME@SNAPSHOT for one of the pool')
    .addHelpText(
      'after',
      examples(
        'dray snapshot show 7f3a -r /backups',
        'dray snapshot show 7f3a -o yaml',
        'dray snapshot show data@monday',
      ),
    )
    .action(async (snapshot: string) => {
      if (!isPoolSnapshot(snapshot)) return await run(context, actions.snapshotShow, { snapshot });
      return await run(context, actions.poolSnapshotShow, { snapshot: parseSnapshotName(snapshot) });
    });
}
