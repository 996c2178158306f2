/**
 * Which blobs are stored in which of the server's storage classes: Kopia's `.storageconfig` (`repo/blob/s3/s3_storage_config.go`),
 * an object beside the blobs that users write, and that no listing names. It is read before the first blob is stored, so that
 * those who only read need not ask for it; what changes in it later counts for the next run. As in Kopia, nothing is
 * stored while it cannot be read: what is kept in the wrong class costs, some of them for months.
 */
import { hasCode } from '../../std/dray-error.ts';
import { BlobError, type BlobId } from '../blob-store.ts';
import type { ObjectCall, S3Objects } from './s3-objects.ts';

export const storageConfigName = '.storageconfig';

const configBytesMax = 64 * 1024;
const rulesMax = 1000;
/** S3's own are capitals and `_`; other servers may have theirs. */
const classPattern = /^[A-Za-z0-9_.-]{0,64}$/;

export interface StorageClassRule {
  readonly prefix: string;
  /** Empty for the server's usual one. */
  readonly storageClass: string;
}

export class StorageClasses {
  readonly #objects: S3Objects;
  readonly #prefix: string;
  #rules: readonly StorageClassRule[] | undefined;

  /** `prefix`: of the repository, in front of each blob's name. */
  constructor(objects: S3Objects, prefix: string) {
    this.#objects = objects;
    this.#prefix = prefix;
  }

  /** Of the first rule that the name fits; undefined for the usual one. @throws {BlobError} `blob-layout`, … */
  async classOf(id: BlobId, call: ObjectCall): Promise<string | undefined> {
    this.#rules ??= await this.#read(call);
    return this.#rules.find(({ prefix }) => id.startsWith(prefix))?.storageClass || undefined;
  }

  async #read(call: ObjectCall): Promise<readonly StorageClassRule[]> {
    try {
      const bytes = await this.#objects.get(`${this.#prefix}${storageConfigName}`, {
        ...call,
        bytesMax: configBytesMax,
      });
      return decodeStorageConfig(Buffer.from(bytes).toString());
    } catch (error) {
      if (hasCode(error, 'blob-not-found')) return [];
      if (!hasCode(error, 'blob-range') && !hasCode(error, 'blob-layout')) throw error;
      throw new BlobError('blob-layout', `${call.doing}: its storage class cannot be told`, { cause: error });
    }
  }
}

/** Names of fields are read as Go does, in any case. @throws {BlobError} `blob-layout` */
export function decodeStorageConfig(text: string): readonly StorageClassRule[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new BlobError('blob-layout', `${storageConfigName} is not JSON`, { cause: error });
  }
  const rules = fieldsOf(json).get('bloboptions') ?? [];
  if (!Array.isArray(rules) || rules.length > rulesMax) throw malformed('blobOptions');
  return rules.map((rule: unknown) => {
    const fields = fieldsOf(rule);
    const [prefix, storageClass] = [fields.get('prefix') ?? '', fields.get('storageclass') ?? ''];
    if (typeof prefix !== 'string') throw malformed('a prefix');
    if (typeof storageClass !== 'string' || !classPattern.test(storageClass)) throw malformed('a storageClass');
    return { prefix, storageClass };
  });
}

function fieldsOf(value: unknown): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('the whole, or a rule');
  return new Map(Object.entries(value).map(([name, field]) => [name.toLowerCase(), field]));
}

function malformed(what: string): BlobError {
  return new BlobError('blob-layout', `${storageConfigName}: ${what} makes no sense`);
}
