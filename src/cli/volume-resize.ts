import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { sizeOption, volumeName } from './shell/option-values.ts';

export interface VolumeResizeOptions {
  readonly name: string;
  readonly sizeBytes: number;
  /** Both are needed to make it smaller. */
  readonly shrink: boolean;
  readonly force: boolean;
}

export function registerVolumeResize(parent: Command, context: CliContext, action: Action<VolumeResizeOptions>): void {
  parent
    .command('resize')
    .summary('give a volume another size')
    .description(
      'Gives a volume another size; a device that it is attached as grows with it, the file system on it does not (resize2fs,\n' +
        'xfs_growfs). A smaller one loses its end: shrink the file system first, then say --shrink --force.',
    )
    .argument('<name>', 'a volume', volumeName)
    .addOption(sizeOption('--size <size>', 'the new size').makeOptionMandatory())
    .option('--shrink', 'it may become smaller')
    .option('--force', 'the end of it may be lost; only with --shrink')
    .addHelpText(
      'after',
      examples('dray volume resize data --size 20G', 'dray volume resize data --size 5G --shrink --force'),
    )
    .action(async (name: string, { size, shrink = false, force = false }: Flags, command: Command) => {
      if (force && !shrink) command.error("error: option '--force' is only for '--shrink'");
      await run(context, action, { name, sizeBytes: size, shrink, force });
    });
}

interface Flags {
  readonly size: number;
  readonly shrink?: boolean;
  readonly force?: boolean;
}
