/** The blob `kopia.blobcfg`: whether stored blobs are locked against deletion (Kopia `blobcfg_blob.go`). */
import { z } from 'zod';

import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import { JsonError, parseJson, type JsonValue } from '../../std/lossless-json.ts';
import { RepositoryError } from '../repository-error.ts';
import { foldJson } from './fold-json.ts';

export const blobcfgId: BlobId = blobId('kopia.blobcfg');

/** What a repository without retention stores. */
export const noRetentionJson = '{}';

export interface Retention {
  /** `GOVERNANCE` or `COMPLIANCE`; kept as text, the provider knows what it can do. */
  readonly mode: string;
  readonly periodMs: number;
}

const schema = z.object({ retentionmode: z.string().default(''), retentionperiod: z.int().nonnegative().default(0) });

/**
 * Parses the decrypted JSON.
 * @returns undefined when nothing is locked.
 * @throws {RepositoryError} `corrupt`
 */
export function decodeBlobcfg(plain: Uint8Array): Retention | undefined {
  const parsed = schema.safeParse(foldJson(blobcfgJson(plain)));
  if (!parsed.success) throw new RepositoryError('corrupt', `malformed ${blobcfgId}`, { cause: parsed.error });
  const { retentionmode: mode, retentionperiod: periodNs } = parsed.data;
  return mode === '' || periodNs === 0 ? undefined : { mode, periodMs: periodNs / 1e6 };
}

function blobcfgJson(plain: Uint8Array): JsonValue {
  try {
    return parseJson(Buffer.from(plain).toString());
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new RepositoryError('corrupt', `malformed ${blobcfgId}`, { cause });
  }
}
