import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

/** No options of its own. */
export type VolumeListOptions = Readonly<Record<never, never>>;

export function registerVolumeList(parent: Command, context: CliContext, action: Action<VolumeListOptions>): void {
  parent
    .command('list')
    .summary('list volumes')
    .description('Lists the volumes of a pool, and the devices that they are attached as.')
    .addHelpText('after', examples('dray volume list --pool /srv/pool', 'dray volume list -o name'))
    .action(async () => await run(context, action, {}));
}
