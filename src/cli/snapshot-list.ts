import { type Command, Option } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { tagOption, type Tags, volumeName } from './shell/option-values.ts';

export interface SnapshotListOptions {
  /** Only of this source: `user@host:/path`, a volume of the pool, or a path of this user and host. `undefined` is all. */
  readonly source: string | undefined;
  /** Only with all of these tags. */
  readonly tags: Tags;
  /** Also checkpoints of backups that have not ended. */
  readonly incomplete: boolean;
}

/** Of a volume of the pool. */
export interface PoolSnapshotListOptions {
  readonly volume: string;
}

export interface SnapshotListActions {
  readonly snapshotList: Action<SnapshotListOptions>;
  readonly poolSnapshotList: Action<PoolSnapshotListOptions>;
}

export function registerSnapshotList(parent: Command, context: CliContext, actions: SnapshotListActions): void {
  parent
    .command('list')
    .summary('list snapshots')
    .description(
      'Lists the snapshots of a repository, oldest first, whoever wrote them; with --volume those that a pool has of a volume.',
    )
    .argument('[source]', 'only of this source: a path, a volume of the pool, or user@host:/path')
    .addOption(tagOption('only with this tag; may be given several times').default({}, 'none'))
    .option('--incomplete', 'also what unfinished backups have stored so far')
    .addOption(
      new Option('--volume <name>', 'the snapshots that the pool has of this volume')
        .argParser(volumeName)
        .conflicts('incomplete'),
    )
    .addHelpText(
      'after',
      examples(
        'dray snapshot list -r /backups',
        'dray snapshot list disk.img --tag app=shop -o name',
        'dray snapshot list data',
        'dray snapshot list --volume data',
      ),
    )
    .action(async (source: string | undefined, { tag: tags, incomplete = false, volume }: Flags, command: Command) => {
      if (volume === undefined) return await run(context, actions.snapshotList, { source, tags, incomplete });
      if (source !== undefined || Object.keys(tags).length > 0) {
        command.error("error: option '--volume' cannot be used with a source or '--tag': these are of repositories");
      }
      return await run(context, actions.poolSnapshotList, { volume });
    });
}

interface Flags {
  readonly tag: Tags;
  readonly incomplete?: boolean;
  readonly volume?: string;
}
