import { type Command, Option } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { type PaceOptions, parallelOption, percentOption, rateLimitOption } from './shell/option-values.ts';

export type VerifyLevel = 'index' | 'present' | 'data';

export interface RepositoryVerifyOptions extends PaceOptions {
  /** Ids or unique beginnings; none means all. */
  readonly snapshots: readonly string[];
  readonly level: VerifyLevel;
  /** The share of the data to read, above 0 and at most 1. */
  readonly sample: number;
}

const levels: readonly VerifyLevel[] = ['index', 'present', 'data'];

export function registerRepositoryVerify(
  parent: Command,
  context: CliContext,
  action: Action<RepositoryVerifyOptions>,
): void {
  parent
    .command('verify')
    .summary('check that snapshots can be restored')
    .description(
      'Checks snapshots and names every damaged one and the extents that are lost. Exit status 4 when there is damage.\n' +
        'Levels: "index" finds every chunk in the index; "present" also sees that the packs are there and long enough;\n' +
        '"data" also reads, opens and hashes every chunk, as a restore would.',
    )
    .argument('[snapshot...]', 'only these (default: all snapshots and everything else that the repository holds)')
    .addOption(new Option('--level <level>', 'how deep').choices(levels).default('present'))
    .addOption(percentOption('--sample <percent>', 'read a random share, with --level data').default(1, '100%'))
    .addOption(parallelOption())
    .addOption(rateLimitOption())
    .addHelpText(
      'after',
      examples('dray repository verify -r /backups', 'dray repository verify --level data --sample 5%'),
    )
    .action(async (snapshots: readonly string[], flags: Flags, command: Command) => {
      const { level, sample, parallel, rateLimit: rateBytesPerSecond } = flags;
      if (sample < 1 && level !== 'data') command.error("error: option '--sample' is only for '--level data'");
      await run(context, action, { snapshots, level, sample, parallel, rateBytesPerSecond });
    });
}

interface Flags {
  readonly level: VerifyLevel;
  readonly sample: number;
  readonly parallel?: number;
  readonly rateLimit?: number;
}
