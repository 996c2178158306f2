import type { Command } from 'commander';
import type { SnapshotName } from '../pool/pool-names.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { poolSnapshot, volumeName } from './shell/option-values.ts';

export interface VolumeCloneOptions {
  readonly from: SnapshotName;
  /** Of the new volume. */
  readonly name: string;
}

export function registerVolumeClone(parent: Command, context: CliContext, action: Action<VolumeCloneOptions>): void {
  parent
    .command('clone')
    .summary('make a new volume of a snapshot')
    .description(
      'Makes a new volume that begins as a snapshot was. It shares all its blocks, so it takes no room until it is written to.',
    )
    .argument('<volume@snapshot>', 'a snapshot of the pool', poolSnapshot)
    .argument('<new>', 'name of the new volume', volumeName)
    .addHelpText('after', examples('dray volume clone data@monday data-test'))
    .action(async (from: SnapshotName, name: string) => await run(context, action, { from, name }));
}
