import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { countOption, volumeNames } from './shell/option-values.ts';

export interface VolumeRewriteOptions {
  /** `undefined`: all volumes of the pool, but for clones and what they were made of. */
  readonly names: readonly string[] | undefined;
  /** Look again and again, until interrupted. */
  readonly watch: boolean;
  /** A volume of more extents than this is gathered; `undefined`: those that make snapshots slow, or all that are named. */
  readonly extentsMax: number | undefined;
}

export function registerVolumeRewrite(
  parent: Command,
  context: CliContext,
  action: Action<VolumeRewriteOptions>,
): void {
  parent
    .command('rewrite')
    .summary('gather what lies scattered')
    .description(
      'Gathers the blocks of fragmented volumes, while they are used: the more extents a volume has, the longer each snapshot\n' +
        'and each backup takes. Nothing of it counts as changed for the next backup. With --watch it goes on for ever, looking\n' +
        'every ten seconds: run it as a service. What is written to faster than it can be gathered is left alone for a while,\n' +
        'longer each time. A clone, or what it was made of, has blocks of its own when it was gathered, which takes room:\n' +
        'as long as there are both, such volumes are gathered only when they are named.',
    )
    .argument(
      '[volume...]',
      'volumes of the pool (default: all that are fragmented, but for clones and what they were made of)',
      volumeNames,
    )
    .option('--watch', 'go on, and look again every ten seconds, or after as long as it worked')
    .addOption(countOption('--max-extents <n>', 'leave volumes of fewer extents alone', { min: 1 }))
    .addHelpText('after', examples('dray volume rewrite data', 'dray volume rewrite --watch --pool /var/lib/pool'))
    .action(async (names: readonly string[], { watch = false, maxExtents }: Flags) => {
      const named = names.length === 0 ? undefined : names;
      await run(context, action, { names: named, watch, extentsMax: maxExtents });
    });
}

interface Flags {
  readonly watch?: boolean;
  readonly maxExtents?: number;
}
