import { type Command, Option } from 'commander';
import type { CompressorName } from '../repository/content/compression.ts';
import type { EncryptionName } from '../repository/format/encryption.ts';
import type { HashName } from '../repository/format/hashing.ts';
import type { KeyDerivationName } from '../repository/format/key-derivation.ts';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { countOption, periodOption } from './shell/option-values.ts';

export interface RepositoryCreateOptions {
  /** Where, when it is not `--repository` or DRAY_REPOSITORY that says so. */
  readonly url: string | undefined;
  readonly formatVersion: 2 | 3;
  readonly hash: HashName;
  readonly encryption: EncryptionName;
  /** Kopia's name of a splitter. It cuts files; volumes are always cut at each MiB. */
  readonly splitter: string;
  /** What the repository's own policy says for all sources. */
  readonly compression: CompressorName;
  readonly keyDerivation: KeyDerivationName;
  /** 0 for no error correction. */
  readonly eccOverheadPercent: number;
  /** Both or none. */
  readonly retentionMode: RetentionMode | undefined;
  readonly retentionPeriodMs: number | undefined;
}

export type RetentionMode = 'governance' | 'compliance';

// Written out, so that reading the command line loads no cipher and no addon; a test compares them with the originals.
export const hashChoices: readonly HashName[] = [
  'BLAKE3-256',
  'BLAKE3-256-128',
  'BLAKE2B-256',
  'BLAKE2B-256-128',
  'BLAKE2S-256',
  'BLAKE2S-128',
  'HMAC-SHA256',
  'HMAC-SHA256-128',
  'HMAC-SHA224',
  'HMAC-SHA3-256',
  'HMAC-SHA3-224',
];
export const encryptionChoices: readonly EncryptionName[] = ['AES256-GCM-HMAC-SHA256', 'CHACHA20-POLY1305-HMAC-SHA256'];
export const compressionChoices: readonly CompressorName[] = [
  'none',
  'zstd-fastest',
  'zstd',
  'zstd-better-compression',
  'zstd-best-compression',
  's2-default',
  's2-better',
  's2-parallel-4',
  's2-parallel-8',
  'gzip',
  'gzip-best-speed',
  'gzip-best-compression',
  'pgzip',
  'pgzip-best-speed',
  'pgzip-best-compression',
  'deflate-default',
  'deflate-best-speed',
  'deflate-best-compression',
];
const eccHelp = 'room for error correction, so that damaged sectors can be mended; 1 or 2 are enough for a few';
const modeHelp = 'lock what is stored (in a bucket with object lock); governance can be passed over by permission';
const keyDerivationChoices: readonly KeyDerivationName[] = ['scrypt-65536-8-1', 'pbkdf2-sha256-600000'];

export function registerRepositoryCreate(
  parent: Command,
  context: CliContext,
  action: Action<RepositoryCreateOptions>,
): void {
  parent
    .command('create')
    .summary('make a new repository')
    .description(
      'Makes a new, empty repository that kopia can use too. The folder is made if need be and must be empty; a bucket\n' +
        'must be there, and empty below the prefix. Keys for S3 come from where AWS tools look for them.\n' +
        'The password encrypts everything: without it nobody can read the repository, and nobody can restore it.',
    )
    .argument('[url]', 'where: a path, file:///path or s3://bucket/prefix (default: --repository)')
    .addOption(choice('--hash <name>', 'how contents are named', hashChoices, 'BLAKE3-256'))
    .addOption(choice('--encryption <name>', 'how contents are sealed', encryptionChoices, 'AES256-GCM-HMAC-SHA256'))
    .option('--splitter <name>', 'how files are cut (volumes are cut at each MiB)', 'DYNAMIC-4M-BUZHASH')
    .addOption(choice('--compression <name>', 'what the global policy asks for', compressionChoices, 'zstd-fastest'))
    .addOption(choice('--key-derivation <name>', 'password to key', keyDerivationChoices, 'scrypt-65536-8-1'))
    .addOption(choice('--format-version <n>', "kopia's format version", ['2', '3'], '3'))
    .addOption(countOption('--ecc-overhead-percent <n>', eccHelp, { min: 0, max: 100 }).default(0))
    .addOption(new Option('--retention-mode <mode>', modeHelp).choices(['governance', 'compliance']))
    .addOption(periodOption('--retention-period <time>', 'how long what is stored stays locked, such as 30d'))
    .addHelpText(
      'after',
      examples(
        'dray repository create /backups --password-file ~/.dray-password',
        "dray repository create 's3://backups/volumes?region=eu-central-1'",
        "dray repository create 's3://backups/volumes?endpoint=https://minio.example:9000&ca=minio-ca.pem'",
        "dray repository create 's3://locked/volumes' --retention-mode governance --retention-period 30d",
        'DRAY_PASSWORD=… dray repository create file:///mnt/nas/volumes --hash BLAKE2B-256-128',
      ),
    )
    .action(async (url: string | undefined, flags: Flags) => {
      const { formatVersion, retentionMode, retentionPeriod: retentionPeriodMs, ...others } = flags;
      const retention = { retentionMode, retentionPeriodMs };
      await run(context, action, { url, ...others, ...retention, formatVersion: formatVersion === '2' ? 2 : 3 });
    });
}

interface Flags extends Omit<RepositoryCreateOptions, 'url' | 'formatVersion' | 'retentionPeriodMs'> {
  readonly retentionPeriod: number | undefined;
  readonly formatVersion: string;
}

function choice(flags: string, description: string, choices: readonly string[], preset: string): Option {
  return new Option(flags, description).choices(choices).default(preset);
}
