/** How kopia runs in all benches: at its best, with the formats of dray, and with nothing of the user's own. */
import { join } from 'node:path';

/** What `dray` uses by default. */
export const formatOptions: readonly string[] = [
  '--block-hash=BLAKE3-256',
  '--encryption=AES256-GCM-HMAC-SHA256',
  '--object-splitter=FIXED-1M',
];
/**
 * Above this size a single file is read by several threads, in pieces of this size. Kopia's own default is 2 GiB, with
 * which an image of 4 GiB is read in two pieces and a smaller one in one.
 */
const parallelAboveMib = 256;
export const policyOptions: readonly string[] = [
  '--compression=zstd-fastest',
  `--parallel-upload-above-size-mib=${parallelAboveMib}`,
];
export const parallel = 4;

/** Settings, cache and logs in this folder. */
export function kopiaEnvironment(
  folder: string,
  { password = 'bench' }: { readonly password?: string } = {},
): Record<string, string> {
  return {
    KOPIA_CONFIG_PATH: join(folder, 'repository.config'),
    KOPIA_CACHE_DIRECTORY: join(folder, 'cache'),
    KOPIA_LOG_DIR: join(folder, 'logs'),
    KOPIA_CHECK_FOR_UPDATES: 'false',
    KOPIA_PASSWORD: password,
  };
}
