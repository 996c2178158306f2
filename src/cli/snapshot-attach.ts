import type { Command } from 'commander';
import type { SnapshotName } from '../pool/pool-names.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { poolSnapshot } from './shell/option-values.ts';

export interface SnapshotAttachOptions {
  readonly snapshot: SnapshotName;
}

export function registerSnapshotAttach(
  parent: Command,
  context: CliContext,
  action: Action<SnapshotAttachOptions>,
): void {
  parent
    .command('attach')
    .summary('make a snapshot of the pool a block device, read-only')
    .description(
      'Makes a snapshot of the pool a block device that cannot be written to, and prints it. ext4 is mounted with "-o ro", XFS\n' +
        'with "-o ro,norecovery,nouuid". Of one that is as after a loss of power (crash), mount a clone instead: that replays its\n' +
        'journal.',
    )
    .argument('<volume@snapshot>', 'a snapshot of the pool', poolSnapshot)
    .addHelpText(
      'after',
      examples(
        'dray snapshot attach data@monday',
        'mount -o ro "$(dray snapshot attach data@monday -o name)" /mnt/monday',
      ),
    )
    .action(async (snapshot: SnapshotName) => await run(context, action, { snapshot }));
}
