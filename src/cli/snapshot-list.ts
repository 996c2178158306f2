import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { tagOption, type Tags } from './shell/option-values.ts';

export interface SnapshotListOptions {
  /** Only of this source: a path of this user and host, or `user@host:/path`. `undefined` is all. */
  readonly source: string | undefined;
  /** Only with all of these tags. */
  readonly tags: Tags;
  /** Also checkpoints of backups that have not ended. */
  readonly incomplete: boolean;
}

export function registerSnapshotList(parent: Command, context: CliContext, action: Action<SnapshotListOptions>): void {
  parent
    .command('list')
    .summary('list snapshots')
    .description('Lists the snapshots of a repository, oldest first, whoever wrote them.')
    .argument('[source]', 'only of this source: a path, or user@host:/path')
    .addOption(tagOption('only with this tag; may be given several times').default({}, 'none'))
    .option('--incomplete', 'also what unfinished backups have stored so far')
    .addHelpText(
      'after',
      examples('dray snapshot list -r /backups', 'dray snapshot list disk.img --tag app=shop -o name'),
    )
    .action(async (source: string | undefined, flags: { readonly tag: Tags; readonly incomplete?: boolean }) => {
      await run(context, action, { source, tags: flags.tag, incomplete: flags.incomplete ?? false });
    });
}
