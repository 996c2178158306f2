import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { volumeName } from './shell/option-values.ts';

export interface VolumeShowOptions {
  readonly name: string;
}

export function registerVolumeShow(parent: Command, context: CliContext, action: Action<VolumeShowOptions>): void {
  parent
    .command('show')
    .summary('show one volume')
    .description(
      'Shows what is known of a volume: size, what it takes and shares, how scattered it is, its device, where it comes from,\n' +
        'and its snapshots.',
    )
    .argument('<name>', 'a volume', volumeName)
    .addHelpText('after', examples('dray volume show data', 'dray volume show data -o yaml'))
    .action(async (name: string) => await run(context, action, { name }));
}
