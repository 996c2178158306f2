import type { Command } from 'commander';
import type { SnapshotName } from '../pool/pool-names.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { poolSnapshot } from './shell/option-values.ts';

export interface VolumeRevertOptions {
  readonly to: SnapshotName;
  /** Also when what no snapshot holds is lost by it. */
  readonly force: boolean;
  readonly dryRun: boolean;
}

export function registerVolumeRevert(parent: Command, context: CliContext, action: Action<VolumeRevertOptions>): void {
  parent
    .command('revert')
    .summary('make a volume again what a snapshot of it was')
    .description(
      'Makes a volume again what a snapshot of it was, in content and size. All snapshots stay, also newer ones. What was\n' +
        'written since the last snapshot is lost; where there is such, it is told, and done only with --force.',
    )
    .argument('<volume@snapshot>', 'a snapshot of the pool', poolSnapshot)
    .option('--force', 'even where something is lost that no snapshot holds')
    .option('--dry-run', 'say what would be lost, and change nothing')
    .addHelpText(
      'after',
      examples('dray volume revert data@monday --dry-run', 'dray volume revert data@monday --force'),
    )
    .action(async (to: SnapshotName, { force = false, dryRun = false }: Flags) => {
      await run(context, action, { to, force, dryRun });
    });
}

interface Flags {
  readonly force?: boolean;
  readonly dryRun?: boolean;
}
