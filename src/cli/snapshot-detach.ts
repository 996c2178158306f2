import type { Command } from 'commander';
import type { SnapshotName } from '../pool/pool-names.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { poolSnapshot } from './shell/option-values.ts';

export interface SnapshotDetachOptions {
  readonly snapshot: SnapshotName;
}

export function registerSnapshotDetach(
  parent: Command,
  context: CliContext,
  action: Action<SnapshotDetachOptions>,
): void {
  parent
    .command('detach')
    .summary('end the block device of a snapshot')
    .description('Ends the block device of a snapshot of the pool. One that is mounted or open is left as it is.')
    .argument('<volume@snapshot>', 'a snapshot of the pool', poolSnapshot)
    .addHelpText('after', examples('dray snapshot detach data@monday'))
    .action(async (snapshot: SnapshotName) => await run(context, action, { snapshot }));
}
