import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { sizeOption } from './shell/option-values.ts';

export interface TourOptions {
  /** Leave the folder with the volume and the repository. */
  readonly keep: boolean;
  /** Where to work; `undefined`: a new folder in the temporary one. */
  readonly folder: string | undefined;
  /** Size of the volume, bytes. */
  readonly sizeBytes: number;
}

const defaultSizeBytes = 384 * 1024 * 1024;

export function registerTour(parent: Command, context: CliContext, action: Action<TourOptions>): void {
  parent
    .command('tour')
    .summary('see it work, in a folder of its own')
    .description(
      'Makes a volume, backs it up, changes a hundredth of it, backs up the increment, restores both, compares them byte for\n' +
        'byte, damages a copy of the repository and lets "verify" find it. As root also a volume with a real file system: three\n' +
        'snapshots, and a backup that reads only what changed. Prints each command for you to repeat.',
    )
    .option('--keep', 'leave the folder for you to look around in')
    .option('--folder <path>', 'work here (default: a new temporary folder)')
    .addOption(sizeOption('--size <size>', 'size of the volume').default(defaultSizeBytes, '384Mi'))
    .addHelpText('after', examples('dray tour', 'dray tour --keep --size 2G'))
    .action(async (flags: { readonly keep?: boolean; readonly folder?: string; readonly size: number }) => {
      await run(context, action, { keep: flags.keep ?? false, folder: flags.folder, sizeBytes: flags.size });
    });
}
