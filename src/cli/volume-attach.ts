import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { volumeName } from './shell/option-values.ts';

export interface VolumeAttachOptions {
  readonly name: string;
  readonly readOnly: boolean;
}

export function registerVolumeAttach(parent: Command, context: CliContext, action: Action<VolumeAttachOptions>): void {
  parent
    .command('attach')
    .summary('make a volume a block device')
    .description(
      'Makes a volume a block device, and prints it. A volume that is one already stays the same. A reboot detaches it.',
    )
    .argument('<name>', 'a volume', volumeName)
    .option('--read-only', 'a device that cannot be written to')
    .addHelpText('after', examples('dray volume attach data', 'mount "$(dray volume attach data -o name)" /mnt/data'))
    .action(async (name: string, { readOnly = false }: { readonly readOnly?: boolean }) => {
      await run(context, action, { name, readOnly });
    });
}
