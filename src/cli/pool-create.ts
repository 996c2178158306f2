import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { sizeOption } from './shell/option-values.ts';

export interface PoolCreateOptions {
  /** `undefined`: the pool that `--pool` or the environment names. */
  readonly directory: string | undefined;
  /** The file that is made and mounted there; `undefined`: the directory's own file system. */
  readonly image: { readonly path: string; readonly sizeBytes: number } | undefined;
}

export function registerPoolCreate(parent: Command, context: CliContext, action: Action<PoolCreateOptions>): void {
  parent
    .command('create')
    .summary('make a pool')
    .description(
      'Makes a pool in a new or empty directory of a file system whose files can share blocks: XFS, as mkfs.xfs makes it, or\n' +
        'btrfs. On a host without one, --image makes a file with an XFS in it, and mounts it there.',
    )
    .argument('[dir]', 'the directory (default: --pool or DRAY_POOL)')
    .option('--image <file>', 'make this file, and the pool in it')
    .addOption(sizeOption('--size <size>', 'size of the image; it takes room only as it fills'))
    .addHelpText(
      'after',
      examples('dray pool create /srv/pool', 'dray pool create /srv/pool --image /var/lib/pool.img --size 50G'),
    )
    .action(async (directory: string | undefined, { image, size }: Flags, command: Command) => {
      if (image !== undefined && size === undefined) command.error("error: option '--image' needs '--size'");
      if (image === undefined && size !== undefined) command.error("error: option '--size' is only for '--image'");
      const file = image === undefined || size === undefined ? undefined : { path: image, sizeBytes: size };
      await run(context, action, { directory, image: file });
    });
}

interface Flags {
  readonly image?: string;
  readonly size?: number;
}
