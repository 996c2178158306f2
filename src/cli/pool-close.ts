import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface PoolCloseOptions {
  /** `undefined`: the pool that `--pool` or the environment names. */
  readonly directory: string | undefined;
}

export function registerPoolClose(parent: Command, context: CliContext, action: Action<PoolCloseOptions>): void {
  parent
    .command('close')
    .summary('unmount a pool that lies in an image')
    .description(
      'Unmounts a pool that lies in an image, so that the image can be moved or its disk taken away. Its volumes must be\n' +
        'detached. "dray pool open" mounts it again.',
    )
    .argument('[dir]', 'the directory (default: --pool or DRAY_POOL)')
    .addHelpText('after', examples('dray pool close /srv/pool'))
    .action(async (directory: string | undefined) => await run(context, action, { directory }));
}
