import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface PoolOpenOptions {
  /** `undefined`: the pool that `--pool` or the environment names. */
  readonly directory: string | undefined;
  /** Where the image lies now, when it was moved. */
  readonly image: string | undefined;
}

export function registerPoolOpen(parent: Command, context: CliContext, action: Action<PoolOpenOptions>): void {
  parent
    .command('open')
    .summary('mount the image of a pool again, after a reboot')
    .description(
      'Mounts the image of a pool on its directory, as it is needed after a reboot. Does nothing where the pool is open, or\n' +
        'has no image, so that it can stand in a start script. Volumes are attached with "dray volume attach".',
    )
    .argument('[dir]', 'the directory (default: --pool or DRAY_POOL)')
    .option('--image <file>', 'where the image lies now, when it was moved')
    .addHelpText('after', examples('dray pool open /srv/pool', 'dray pool open /srv/pool --image /mnt/moved/pool.img'))
    .action(async (directory: string | undefined, { image }: { readonly image?: string }) => {
      await run(context, action, { directory, image });
    });
}
