import { type Command, Option } from 'commander';
import type { FileSystemName } from '../pool/run-mkfs.ts';
import type { SectorBytes } from '../pool/pool-records.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { sizeOption, volumeName } from './shell/option-values.ts';

const sectorSizes = ['512', '4096'] as const;
// Written out, so that reading the command line loads nothing that makes volumes; a test compares them with the original.
export const mkfsChoices: readonly FileSystemName[] = ['ext4', 'xfs'];

export interface VolumeCreateOptions {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sectorBytes: SectorBytes;
  readonly mkfs: FileSystemName | undefined;
}

export function registerVolumeCreate(parent: Command, context: CliContext, action: Action<VolumeCreateOptions>): void {
  parent
    .command('create')
    .summary('make a volume')
    .description(
      'Makes a volume without data, which takes room only as it is written to, and with --mkfs a file system on it.',
    )
    .argument('<name>', 'letters, digits, points, dashes and underscores', volumeName)
    .addOption(sizeOption('--size <size>', 'such as 10G').makeOptionMandatory())
    .addOption(
      new Option('--sector-size <bytes>', 'of the device that it will be; 512 is for systems that need it')
        .choices(sectorSizes)
        .default('4096'),
    )
    .addOption(new Option('--mkfs <kind>', 'make a file system on it').choices(mkfsChoices))
    .addHelpText(
      'after',
      examples('dray volume create data --size 10G --mkfs ext4', 'dray volume create raw --size 1T'),
    )
    .action(async (name: string, { size, sectorSize, mkfs }: Flags) => {
      await run(context, action, { name, sizeBytes: size, sectorBytes: sectorSize === '512' ? 512 : 4096, mkfs });
    });
}

interface Flags {
  readonly size: number;
  readonly sectorSize: (typeof sectorSizes)[number];
  readonly mkfs?: FileSystemName;
}
