import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface SnapshotPinOptions {
  /** An id or its unique beginning. */
  readonly snapshot: string;
  /** With `remove`, none means every pin. */
  readonly labels: readonly string[];
  readonly remove: boolean;
}

const defaultLabel = 'keep';

export function registerSnapshotPin(parent: Command, context: CliContext, action: Action<SnapshotPinOptions>): void {
  parent
    .command('pin')
    .summary('keep a snapshot from expiring')
    .description(
      'Pins a snapshot, so that neither "dray snapshot expire" nor kopia removes it; --remove takes pins off.',
    )
    .argument('<snapshot>', 'the id of a snapshot, or its unique beginning')
    .argument('[label...]', `what the pins are called (default: ${defaultLabel}; with --remove: all of them)`)
    .option('--remove', 'take the pins off')
    .addHelpText(
      'after',
      examples('dray snapshot pin 7f3a before-upgrade -r /backups', 'dray snapshot pin 7f3a --remove'),
    )
    .action(async (snapshot: string, given: readonly string[], { remove = false }: { readonly remove?: boolean }) => {
      const labels = given.length === 0 && !remove ? [defaultLabel] : given;
      await run(context, action, { snapshot, labels, remove });
    });
}
