import { type Command, Option } from 'commander';
import { type SnapshotName, parseSnapshotName } from '../pool/pool-names.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { isPoolSnapshot, snapshotId } from './shell/option-values.ts';

/** Two snapshots of the pool. */
export interface PoolChangesOptions {
  /** The older one. */
  readonly from: SnapshotName;
  readonly to: SnapshotName;
  /** The repository's snapshot that has what `from` has, for a list that a backup takes. */
  readonly parent: string | undefined;
}

/** Two snapshots of the repository. */
export interface ChangesOptions {
  /** The older one: ids or their unique beginnings. */
  readonly from: string;
  readonly to: string;
}

export interface ChangesActions {
  readonly changes: Action<ChangesOptions>;
  readonly poolChanges: Action<PoolChangesOptions>;
}

export function registerChanges(parent: Command, context: CliContext, actions: ChangesActions): void {
  parent
    .command('changes')
    .summary('list the extents in which two snapshots differ')
    .description(
      'Lists the extents in which two snapshots may differ: of two snapshots of the pool (VOLUME@SNAPSHOT) by where the file\n' +
        'system keeps their blocks, of two of the repository (ids) by what they are made of. No data is read. With -o json the\n' +
        'result is a list that "dray backup --changes" takes; of the pool\'s snapshots it is one only with --parent.',
    )
    .argument('<from>', 'the older snapshot')
    .argument('<to>', 'the newer one, of the same place')
    .addOption(
      new Option('--parent <id>', "the repository's snapshot that has what <from> has, for the list").argParser(
        snapshotId,
      ),
    )
    .addHelpText(
      'after',
      examples(
        'dray changes data@monday data@tuesday',
        'dray changes data@monday data@tuesday --parent 7f3a -o json > changes.json',
        'dray changes 7f3a 9c01 -r /backups',
      ),
    )
    .action(async (from: string, to: string, { parent: id }: { readonly parent?: string }, command: Command) => {
      const ofPool = [from, to].filter(isPoolSnapshot);
      if (ofPool.length === 1) {
        command.error(
          'error: one is of the pool and one of the repository: write VOLUME@SNAPSHOT for both, or ids for both',
        );
      }
      if (ofPool.length === 0) {
        if (id !== undefined) command.error("error: option '--parent' is only for snapshots of the pool");
        return await run(context, actions.changes, { from, to });
      }
      const [before, after] = [parseSnapshotName(from), parseSnapshotName(to)];
      return await run(context, actions.poolChanges, { from: before, to: after, parent: id });
    });
}
