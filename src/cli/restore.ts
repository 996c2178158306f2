import { type Command, Option } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { type PaceOptions, parallelOption, rateLimitOption, volumePath } from './shell/option-values.ts';

export interface RestoreOptions extends PaceOptions {
  /** An id or its unique beginning. */
  readonly snapshot: string;
  /** A file to make, or a block device. */
  readonly target: string;
  /** Replace an existing file. */
  readonly overwrite: boolean;
  /** Read what the target holds and write only the chunks that differ. */
  readonly delta: boolean;
  /** Say what would be written, and write nothing. */
  readonly dryRun: boolean;
  /** Write to a device that is mounted or in use. */
  readonly force: boolean;
}

export function registerRestore(parent: Command, context: CliContext, action: Action<RestoreOptions>): void {
  parent
    .command('restore')
    .summary('write a snapshot to a file or a device')
    .description(
      'Writes a snapshot to a new sparse image file or to a block device, byte for byte. Every chunk is verified before it\n' +
        'is written; a file appears under its name only when it is whole and on disk. An interrupted restore goes on when the\n' +
        'same command is run again.',
    )
    .argument('<snapshot>', 'the id of a snapshot, or its unique beginning')
    .argument('<target>', 'a file, or a block device of at least the size of the snapshot', volumePath)
    .addOption(new Option('--overwrite', 'replace an existing file').conflicts('delta'))
    .option('--delta', 'write in place, and only the chunks that differ from what is there')
    .option('--dry-run', 'say what would be written, and write nothing')
    .addOption(parallelOption())
    .addOption(rateLimitOption())
    .option('--force', 'write to a device that is mounted or in use')
    .addHelpText(
      'after',
      examples(
        'dray restore 7f3a disk.img -r /backups',
        'dray restore 7f3a /dev/vg0/data --delta',
        'dray restore 7f3a disk.img --overwrite',
      ),
    )
    .action(async (snapshot: string, target: string, { rateLimit, ...flags }: Flags) => {
      const { overwrite = false, delta = false, dryRun = false, force = false, parallel } = flags;
      const pace = { parallel, rateBytesPerSecond: rateLimit };
      await run(context, action, { snapshot, target, overwrite, delta, dryRun, force, ...pace });
    });
}

interface Flags {
  readonly overwrite?: boolean;
  readonly delta?: boolean;
  readonly dryRun?: boolean;
  readonly parallel?: number;
  readonly rateLimit?: number;
  readonly force?: boolean;
}
