import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { volumeName } from './shell/option-values.ts';

export interface VolumeDetachOptions {
  readonly name: string;
}

export function registerVolumeDetach(parent: Command, context: CliContext, action: Action<VolumeDetachOptions>): void {
  parent
    .command('detach')
    .summary('end the block device of a volume')
    .description(
      'Ends the block device of a volume; all that was written to it is on disk then. One that is mounted or open is left as\n' +
        'it is. A volume that is not attached stays so.',
    )
    .argument('<name>', 'a volume', volumeName)
    .addHelpText('after', examples('umount /mnt/data && dray volume detach data'))
    .action(async (name: string) => await run(context, action, { name }));
}
