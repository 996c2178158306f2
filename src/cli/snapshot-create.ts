import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { freezeBoundOption, snapshotNameOption, volumeNames } from './shell/option-values.ts';

export interface SnapshotCreateOptions {
  /** One, or several that are taken at one instant. */
  readonly volumes: readonly string[];
  /** `undefined`: the present time. */
  readonly name: string | undefined;
  /** The longest that applications may have to wait. */
  readonly freezeBoundMs: number;
}

export function registerSnapshotCreate(
  parent: Command,
  context: CliContext,
  action: Action<SnapshotCreateOptions>,
): void {
  parent
    .command('create')
    .summary('take a snapshot of a volume of the pool')
    .description(
      'Takes a snapshot of a volume, at once and without copying. A file system that is mounted is frozen for a moment, so\n' +
        'that the snapshot is clean; the result says how it was taken. With --group several volumes are taken at one instant.',
    )
    .argument('<volume...>', 'volumes of the pool; several only with --group', volumeNames)
    .addOption(snapshotNameOption('--name <name>', 'name of the snapshot (default: the time, as 20310402T064700Z)'))
    .option('--group', 'all of them at one instant, or none')
    .addOption(freezeBoundOption())
    .addHelpText(
      'after',
      examples('dray snapshot create data', 'dray snapshot create data logs --group --name before-upgrade'),
    )
    .action(async (volumes: readonly string[], { name, group = false, freezeBound }: Flags, command: Command) => {
      if (volumes.length > 1 && !group) {
        command.error("error: several volumes are one group: say '--group', or take one after the other");
      }
      await run(context, action, { volumes, name, freezeBoundMs: freezeBound });
    });
}

interface Flags {
  readonly name?: string;
  readonly group?: boolean;
  readonly freezeBound: number;
}
