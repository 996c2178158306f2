import { type Command, Option } from 'commander';
import type { CompressorName } from '../repository/content/compression.ts';
import { type Action, examples, run } from './command.ts';
import { compressionChoices } from './repository-create.ts';
import type { CliContext } from './shell/cli-context.ts';
import {
  freezeBoundOption,
  type PaceOptions,
  parallelOption,
  rateLimitOption,
  tagOption,
  type Tags,
  volumePath,
} from './shell/option-values.ts';

export interface BackupOptions extends PaceOptions {
  /** A block device, an image file, the address of an NBD server's export, or a pool's `VOLUME` or `VOLUME@SNAPSHOT`. */
  readonly source: string;
  /** `auto`: the newest complete snapshot of this source. `none`: a full backup. Otherwise a snapshot id or its beginning. */
  readonly parent: string;
  /** A file that lists all that may have changed since the parent. */
  readonly changesPath: string | undefined;
  /** A dirty bitmap of the NBD server's that names all that may have changed since the parent. */
  readonly bitmap: string | undefined;
  /** Skip a regular file whose inode, size, mtime and ctime are the parent's. */
  readonly trustMtime: boolean;
  /** Use sources of changes again that an audit has caught. */
  readonly trustChanges: boolean;
  readonly tags: Tags;
  /** Says that two runs over a block device saw the same, unchanged state, so that the second may go on from the first. */
  readonly sourceId: string | undefined;
  /** `undefined`: what the repository's policy says, then zstd-fastest. */
  readonly compression: CompressorName | undefined;
  readonly layout: 'tree' | 'flat';
  /** Back up a source that is mounted read-write. */
  readonly force: boolean;
  /** Of a mounted volume of a pool: the longest that its writers may wait. */
  readonly freezeBoundMs: number;
  /** End with status 6 when the run could not use the changes that it was asked to use. */
  readonly strict: boolean;
}

export function registerBackup(parent: Command, context: CliContext, action: Action<BackupOptions>): void {
  parent
    .command('backup')
    .summary('store a volume as a snapshot')
    .description(
      "Stores a block device, an image file, an NBD server's export or a pool's volume as a new snapshot. Only chunks that\n" +
        'the repository does not have are stored. Of a volume of a pool (--pool) a snapshot is made, and only what has changed\n' +
        'since the last backup in this repository is read. Without a source of changes everything is read. An interrupted run\n' +
        'leaves what it did: the same command goes on from there.',
    )
    .argument(
      '<source>',
      'a block device, an image file, nbd://, nbds://, nbd+unix://, or VOLUME[@SNAPSHOT]',
      volumePath,
    )
    .option('--parent <snapshot>', '"auto" (the latest of this source), "none", or a snapshot', 'auto')
    .addOption(
      new Option('--changes <file>', 'JSON that lists all extents that may have changed since the parent').conflicts(
        'trustMtime',
      ),
    )
    .addOption(
      new Option(
        '--bitmap <name>',
        "QEMU's dirty bitmap of this name on the NBD server tells what may have changed since the parent",
      ).conflicts(['changes', 'trustMtime']),
    )
    .option('--trust-mtime', 'skip an image file whose inode, size and times have not changed')
    .option('--trust-changes', 'use a source of changes again that an audit has caught missing one')
    .addOption(tagOption('a tag of the snapshot; may be given several times').default({}, 'none'))
    .option('--source-id <id>', "name of a device's frozen state (such as a storage snapshot), to resume by")
    .addOption(new Option('--compression <name>', 'instead of what the policy says').choices(compressionChoices))
    .addOption(
      new Option('--layout <layout>', '"flat" is for repositories that Velero extends')
        .choices(['tree', 'flat'])
        .default('tree'),
    )
    .addOption(parallelOption())
    .addOption(rateLimitOption())
    .addOption(freezeBoundOption())
    .option('--strict', 'exit with status 6, before anything is read, when changes that were asked for cannot be used')
    .option('--force', 'back up a source that is mounted read-write')
    .addHelpText(
      'after',
      examples(
        'dray backup /dev/vg0/data-snapshot -r /backups --source-id nightly-2031',
        'dray backup disk.img --parent 7f3a --changes changes.json --tag app=shop',
        'dray backup "nbd+unix:///vda?socket=/run/vm.sock" --source-id ck2 --bitmap ck1',
        'dray backup data --pool /var/lib/pool -r /backups',
        'dray backup disk.img -o name',
      ),
    )
    .action(async (source: string, flags: Flags) => await run(context, action, optionsOf(source, flags)));
}

function optionsOf(source: string, { changes, rateLimit, tag, ...flags }: Flags): BackupOptions {
  return {
    source,
    parent: flags.parent,
    changesPath: changes,
    bitmap: flags.bitmap,
    trustMtime: flags.trustMtime ?? false,
    trustChanges: flags.trustChanges ?? false,
    tags: tag,
    sourceId: flags.sourceId,
    compression: flags.compression,
    layout: flags.layout,
    force: flags.force ?? false,
    freezeBoundMs: flags.freezeBound,
    strict: flags.strict ?? false,
    parallel: flags.parallel,
    rateBytesPerSecond: rateLimit,
  };
}

interface Flags {
  readonly parent: string;
  readonly changes?: string;
  readonly bitmap?: string;
  readonly trustMtime?: boolean;
  readonly trustChanges?: boolean;
  readonly tag: Tags;
  readonly sourceId?: string;
  readonly compression?: CompressorName;
  readonly layout: 'tree' | 'flat';
  readonly parallel?: number;
  readonly rateLimit?: number;
  readonly freezeBound: number;
  readonly strict?: boolean;
  readonly force?: boolean;
}
