import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { volumeName } from './shell/option-values.ts';

export interface VolumeDeleteOptions {
  readonly name: string;
  readonly withSnapshots: boolean;
  /** Also snapshots that the next backup needs, and what is damaged. */
  readonly force: boolean;
  readonly dryRun: boolean;
}

export function registerVolumeDelete(parent: Command, context: CliContext, action: Action<VolumeDeleteOptions>): void {
  parent
    .command('delete')
    .summary('delete a volume')
    .description(
      'Deletes a volume. One that has snapshots is left as it is without --with-snapshots. Clones of it are volumes of their\n' +
        'own, and stay.',
    )
    .argument('<name>', 'a volume', volumeName)
    .option('--with-snapshots', 'its snapshots as well')
    .option('--force', 'also snapshots that the next backup needs, and what is damaged')
    .option('--dry-run', 'say what would be deleted, and delete nothing')
    .addHelpText(
      'after',
      examples('dray volume delete data-test', 'dray volume delete data --with-snapshots --dry-run'),
    )
    .action(async (name: string, { withSnapshots = false, force = false, dryRun = false }: Flags) => {
      await run(context, action, { name, withSnapshots, force, dryRun });
    });
}

interface Flags {
  readonly withSnapshots?: boolean;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}
