import { type Command, Option } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { type PaceOptions, parallelOption, patternOption, rateLimitOption, volumePath } from './shell/option-values.ts';

export interface RestoreOptions extends PaceOptions {
  /** An id or its unique beginning, and perhaps a path inside: `7f3a/etc`. */
  readonly snapshot: string;
  /** A file or folder to make, or a block device. */
  readonly target: string;
  /** Replace an existing file. */
  readonly overwrite: boolean;
  /** Read what the target holds and write only the chunks that differ. */
  readonly delta: boolean;
  /** Say what would be written, and write nothing. */
  readonly dryRun: boolean;
  /** Write to a device that is mounted or in use. */
  readonly force: boolean;
  /** Give files and folders the owners that they had, when root restores. */
  readonly owners: boolean;
  /** Restore only what these patterns take; everything, when there are none. */
  readonly include: readonly string[];
  /** Leave out what these patterns take. */
  readonly exclude: readonly string[];
  /** Of a new volume; `undefined`: that of the volume that was backed up. */
  readonly sectorBytes: 512 | 4096 | undefined;
}

export function registerRestore(parent: Command, context: CliContext, action: Action<RestoreOptions>): void {
  parent
    .command('restore')
    .summary('write a snapshot to a file, a folder, a device or a volume')
    .description(
      'Writes a snapshot of a volume to a new sparse image file or to a block device, byte for byte; a snapshot of files, or\n' +
        'a path inside it, to a new or empty folder, with modes, owners, times, links and holes. Every chunk is verified\n' +
        'before it is written, and all is on disk when the command ends. An interrupted restore goes on when the same\n' +
        'command is run again. A snapshot of one file is restored as a folder when the target is one, or ends with a slash.\n' +
        'With --pool, a name without a slash is a volume: a new one, or with --overwrite the new content of one. With DRAY_POOL\n' +
        'alone it is a volume unless a file of that name is here; a new name that ends like a file is refused: ./disk.img, or --pool.',
    )
    .argument('<snapshot[/path]>', 'the id of a snapshot, or its unique beginning, and perhaps a path inside')
    .argument(
      '<target>',
      'a file, a folder, a block device of at least the size of the snapshot, or a volume',
      volumePath,
    )
    .addOption(
      new Option('--overwrite', 'replace an existing file, or write into a folder that is not empty').conflicts(
        'delta',
      ),
    )
    .option('--delta', 'write in place, and only the chunks that differ from what is there')
    .option('--dry-run', 'say what would be written, and write nothing')
    .addOption(parallelOption())
    .addOption(rateLimitOption())
    .addOption(patternOption('--include <pattern>', 'of files, restore only what a pattern like in .gitignore takes'))
    .addOption(patternOption('--exclude <pattern>', 'of files, leave out what such a pattern takes (both repeatable)'))
    .option('--no-owners', 'leave all files to the user who restores them')
    .addOption(
      new Option('--sector-size <bytes>', 'of the volume (default: as it was, or 512)').choices(['512', '4096']),
    )
    .option('--force', 'write to a device that is mounted or in use')
    .addHelpText(
      'after',
      examples(
        'dray restore 7f3a disk.img -r /backups',
        'dray restore 7f3a /dev/vg0/data --delta',
        'dray restore 7f3a disk.img --overwrite',
        'dray restore 7f3a data2 --pool /var/lib/pool',
        'dray restore 7f3a/etc /srv/etc',
        "dray restore 7f3a /srv/data --include '*.conf' --exclude cache/",
      ),
    )
    .action(async (snapshot: string, target: string, { rateLimit, sectorSize, ...flags }: Flags) => {
      const { overwrite = false, delta = false, dryRun = false, force = false, parallel } = flags;
      const { owners = true, include = [], exclude = [] } = flags;
      const pace = { parallel, rateBytesPerSecond: rateLimit };
      const files = { owners, include, exclude };
      const sectorBytes = sectorSize === undefined ? undefined : sectorSize === '512' ? 512 : 4096;
      await run(context, action, { snapshot, target, overwrite, delta, dryRun, force, sectorBytes, ...files, ...pace });
    });
}

interface Flags {
  readonly sectorSize?: '512' | '4096';
  readonly overwrite?: boolean;
  readonly delta?: boolean;
  readonly dryRun?: boolean;
  readonly parallel?: number;
  readonly rateLimit?: number;
  readonly force?: boolean;
  readonly owners?: boolean;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
}
