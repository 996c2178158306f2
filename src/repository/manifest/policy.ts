/**
 * Kopia's policies, as far as we act on them: retention and compression (`snapshot/policy/policy_manager.go`,
 * `policy_merge.go`). Policy manifests are read here and never written again, so that what we do not know in them stays.
 */
import * as v from 'valibot';

import { jsonObject } from '../../std/lossless-json.ts';
import type { JsonValue } from '../../std/lossless-json.ts';
import type { RetentionPolicy } from '../../std/retention.ts';
import { integer } from '../../std/schema.ts';
import { decodeJson, goBoolean, goObject, goString } from './json-field.ts';
import type { Labels } from './manifest-codec.ts';
import type { ManifestSet } from './manifest-set.ts';
import type { SnapshotSource } from './snapshot-source.ts';

export interface EffectivePolicy {
  readonly retention: RetentionPolicy;
  /** Absent when no policy names a compressor. */
  readonly compression: CompressionPolicy;
}

export interface CompressionPolicy {
  readonly compressorName?: string | undefined;
  readonly onlyCompress: ReadonlySet<string>;
  readonly neverCompress: ReadonlySet<string>;
  /** Files outside of these sizes are not compressed; 0 is no bound. */
  readonly minSizeBytes: number;
  readonly maxSizeBytes: number;
}

/** Where a policy is attached; absent parts make it wider, none at all is global. */
export interface PolicyTarget {
  readonly host?: string | undefined;
  readonly userName?: string | undefined;
  readonly path?: string | undefined;
}

/** Counts may be as large as an int64: those mean "all". */
const count = v.union([
  integer,
  v.pipe(
    v.bigint(),
    v.transform((value) => (value > 0n ? Number.MAX_SAFE_INTEGER : 0)),
  ),
]);
const size = v.optional(count, 0);
const extensions = v.optional(v.array(v.string()), []);
const schema = goObject({
  retention: v.optional(
    goObject({
      keepLatest: v.optional(count),
      keepHourly: v.optional(count),
      keepDaily: v.optional(count),
      keepWeekly: v.optional(count),
      keepMonthly: v.optional(count),
      keepAnnual: v.optional(count),
    }),
  ),
  compression: v.optional(
    goObject({
      compressorName: goString,
      onlyCompress: extensions,
      noParentOnlyCompress: goBoolean,
      neverCompress: extensions,
      noParentNeverCompress: goBoolean,
      minSize: size,
      maxSize: size,
    }),
  ),
  noParent: goBoolean,
});
type Policy = v.InferOutput<typeof schema>;

/** What holds where no policy says anything, as in `kopia`. */
const defaultRetention: RetentionPolicy = {
  keepLatest: 10,
  keepHourly: 48,
  keepDaily: 7,
  keepWeekly: 4,
  keepMonthly: 24,
  keepAnnual: 3,
};

/**
 * The policy of a source: that of its path, of each parent of the path, of user@host, of the host, the global one, then
 * the defaults; for each field the first that has it. `noParent` ends the chain before the defaults too.
 * @throws {RepositoryError} `corrupt` when a policy that applies cannot be understood
 */
export function effectivePolicy(set: ManifestSet, source: SnapshotSource): EffectivePolicy {
  const chain: Policy[] = [];
  let open = true;
  for (const target of targetsOf(source)) {
    // Two clients may have made one each; the later goes first.
    for (const entry of set.find(policyLabels(target)).toReversed()) {
      if (!open) break;
      const policy = decodeJson(schema, entry.data, `policy ${entry.id}`);
      chain.push(policy);
      open = !policy.noParent;
    }
  }
  const retentions: RetentionPolicy[] = chain.map((policy) => policy.retention ?? {});
  if (open) retentions.push(defaultRetention);
  return { retention: mergeRetention(retentions), compression: mergeCompression(chain) };
}

/** The compressor for an image of this name and size; undefined when no policy says, `none` when one says so. */
export function compressorFor(
  policy: CompressionPolicy,
  { name, sizeBytes }: { readonly name: string; readonly sizeBytes: number },
): string | undefined {
  const { compressorName, minSizeBytes, maxSizeBytes, onlyCompress, neverCompress } = policy;
  if (compressorName === undefined || compressorName === 'none') return compressorName;
  if (minSizeBytes > 0 && sizeBytes < minSizeBytes) return 'none';
  if (maxSizeBytes > 0 && sizeBytes > maxSizeBytes) return 'none';
  // Kopia's own order: a name in `onlyCompress` wins, one that is missing there does not lose.
  const extension = /\.[^./]*$/.exec(name)?.[0] ?? '';
  if (onlyCompress.has(extension)) return compressorName;
  return neverCompress.has(extension) ? 'none' : compressorName;
}

export function policyLabels({ host, userName, path }: PolicyTarget): Labels {
  const type = 'policy';
  if (path !== undefined) return { type, policyType: 'path', username: userName ?? '', hostname: host ?? '', path };
  if (userName !== undefined) return { type, policyType: 'user', username: userName, hostname: host ?? '' };
  if (host !== undefined) return { type, policyType: 'host', hostname: host };
  return { type, policyType: 'global' };
}

/** From the narrowest to the widest. */
function* targetsOf({ host, userName, path }: SnapshotSource): Generator<PolicyTarget> {
  for (let at = path; ;) {
    yield { host, userName, path: at };
    const parent = parentPath(at);
    if (parent === at) break;
    at = parent;
  }
  yield { host, userName };
  yield { host };
  yield {};
}

/** Both kinds of slashes, and a Windows drive, whatever system this runs on. The parent of a root is the root. */
function parentPath(path: string): string {
  const volume = /^[A-Za-z]:/.exec(path)?.[0] ?? '';
  let rest = path.slice(volume.length);
  if (rest.length > 1) rest = rest.replace(/[/\\]$/, '');
  const last = Math.max(rest.lastIndexOf('/'), rest.lastIndexOf('\\'));
  if (last < 0) return path;
  return volume + rest.slice(0, Math.max(1, last));
}

function mergeRetention(policies: readonly RetentionPolicy[]): RetentionPolicy {
  const first = (name: keyof RetentionPolicy): number | undefined =>
    policies.find((policy) => policy[name] !== undefined)?.[name];
  return {
    keepLatest: first('keepLatest'),
    keepHourly: first('keepHourly'),
    keepDaily: first('keepDaily'),
    keepWeekly: first('keepWeekly'),
    keepMonthly: first('keepMonthly'),
    keepAnnual: first('keepAnnual'),
  };
}

function mergeCompression(chain: readonly Policy[]): CompressionPolicy {
  const merged = {
    compressorName: undefined as string | undefined,
    onlyCompress: new Set<string>(),
    neverCompress: new Set<string>(),
    minSizeBytes: 0,
    maxSizeBytes: 0,
  };
  let onlyOpen = true;
  let neverOpen = true;
  for (const { compression } of chain) {
    if (compression === undefined) continue;
    merged.compressorName ??= compression.compressorName || undefined;
    merged.minSizeBytes ||= compression.minSize;
    merged.maxSizeBytes ||= compression.maxSize;
    if (onlyOpen) for (const extension of compression.onlyCompress) merged.onlyCompress.add(extension);
    if (neverOpen) for (const extension of compression.neverCompress) merged.neverCompress.add(extension);
    onlyOpen &&= !compression.noParentOnlyCompress;
    neverOpen &&= !compression.noParentNeverCompress;
  }
  return merged;
}

/**
 * The global policy of a new repository: what `kopia repository create` writes, with our choice of compressor.
 * @param options.compressorName a compressor of Kopia, or `none`.
 */
export function defaultGlobalPolicy({ compressorName }: { readonly compressorName: string }): JsonValue {
  return object({
    retention: object({ ...defaultRetention, ignoreIdenticalSnapshots: false }),
    files: object({ ignoreDotFiles: ['.kopiaignore'] }),
    errorHandling: object({ ignoreFileErrors: false, ignoreDirectoryErrors: false, ignoreUnknownTypes: true }),
    scheduling: object({ runMissed: true }),
    compression: object({ compressorName }),
    metadataCompression: object({ compressorName: 'zstd-fastest' }),
    splitter: object({}),
    actions: object({}),
    osSnapshots: object({ volumeShadowCopy: object({ enable: 0 }) }),
    logging: object({
      directories: object({ snapshotted: 5, ignored: 5 }),
      entries: object({ snapshotted: 0, ignored: 5, cacheHit: 0, cacheMiss: 0 }),
    }),
    upload: object({ maxParallelSnapshots: 1, parallelUploadAboveSize: 2_147_483_648 }),
  });
}

const object = jsonObject;
