/** How new chunks are compressed: by what the command says, then by what the policy says, then `zstd-fastest`. */
import { compressorNames, isCompressorName, type CompressorName } from '../repository/content/compression.ts';
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { compressorFor, effectivePolicy } from '../repository/manifest/policy.ts';
import type { Repository } from '../repository/repository.ts';
import type { BlockSource } from '../volume/block-source.ts';
import { BackupError, type BackupRequest } from './backup-request.ts';

/** @throws {BackupError} `compressor-unsupported` when the policy names one that is not known here */
export function chooseCompressor(
  {
    repository,
    source,
    set,
  }: { readonly repository: Repository; readonly source: BlockSource; readonly set: ManifestSet },
  { compression: wanted, origin }: Pick<BackupRequest, 'compression' | 'origin'>,
): CompressorName {
  // Index version 1 cannot say that a content is compressed.
  if (repository.opened.format.indexVersion < 2) return 'none';
  if (wanted !== undefined) return wanted;
  const { compression } = effectivePolicy(set, origin);
  const named = compressorFor(compression, { name: source.location.path, sizeBytes: source.sizeBytes });
  if (named === undefined) return 'zstd-fastest';
  if (isCompressorName(named)) return named;
  const known = compressorNames.join(', ');
  throw new BackupError('compressor-unsupported', `the policy asks for compression ${named}; known are ${known}`);
}
