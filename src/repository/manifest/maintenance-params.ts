/** Who runs maintenance, and how often (Kopia `repo/maintenance/maintenance_params.go`). */
import * as v from 'valibot';

import type { Nanoseconds } from '../../std/go-time.ts';
import { isJsonObject, jsonObject, parseJson } from '../../std/lossless-json.ts';
import type { JsonValue } from '../../std/lossless-json.ts';
import { integer } from '../../std/schema.ts';
import { decodeJson, goBoolean, goObject, goString } from './json-field.ts';
import { manifestData } from './manifest-codec.ts';
import type { Labels } from './manifest-codec.ts';
import type { ManifestSet } from './manifest-set.ts';

export const maintenanceLabels: Labels = { type: 'maintenance' };

/**
 * The parameters of a new repository: Kopia's own. Without an owner `kopia maintenance run` refuses for everybody.
 * @param owner `user@host`
 */
export function defaultMaintenanceParams(
  owner: string,
  { extendObjectLocks = false }: { readonly extendObjectLocks?: boolean } = {},
): JsonValue {
  return jsonObject({
    owner,
    quick: jsonObject({ enabled: true, interval: hours(1) }),
    full: jsonObject({ enabled: true, interval: hours(24) }),
    logRetention: jsonObject({ maxTotalSize: 1_073_741_824, maxCount: 10_000, maxAge: hours(30 * 24) }),
    extendObjectLocks,
    listParallelism: 0,
  });
}

/** How much of kopia's own logs stays in the repository; 0 is no limit. */
export interface LogRetention {
  readonly sizeBytesMax: number;
  readonly countMax: number;
  readonly ageMsMax: number;
}

export interface MaintenanceParams {
  /** `user@host`; undefined when nobody is. */
  readonly owner: string | undefined;
  readonly quick: MaintenanceCycle;
  readonly full: MaintenanceCycle;
  readonly logRetention: LogRetention;
  readonly extendObjectLocks: boolean;
}

export interface MaintenanceCycle {
  readonly enabled: boolean;
  readonly interval: Nanoseconds;
}

const defaultLogRetention: LogRetention = {
  sizeBytesMax: 1_073_741_824,
  countMax: 10_000,
  ageMsMax: 30 * 24 * 3_600_000,
};
/** A duration may be as long as an int64 is. */
const int64 = v.union([integer, v.bigint()]);
const goDuration = v.optional(
  v.pipe(
    int64,
    v.transform((count) => BigInt(count)),
  ),
  0,
);
const goCount = v.optional(
  v.pipe(
    int64,
    v.transform((count) => Number(count)),
  ),
  0,
);
const cycle = goObject({ enabled: goBoolean, interval: goDuration });
const schema = goObject({
  owner: goString,
  quick: v.optional(cycle, {}),
  full: v.optional(cycle, {}),
  logRetention: v.optional(goObject({ maxTotalSize: goCount, maxCount: goCount, maxAge: goCount }), {}),
  extendObjectLocks: goBoolean,
});

/** Kopia's own where nothing is stored. @throws {RepositoryError} `corrupt` */
export function maintenanceParams(set: ManifestSet): MaintenanceParams {
  const data = set.latest(maintenanceLabels)?.data ?? manifestData(defaultMaintenanceParams(''));
  const { owner, quick, full, logRetention, extendObjectLocks } = decodeJson(schema, data, 'maintenance parameters');
  const { maxTotalSize: sizeBytesMax, maxCount: countMax, maxAge } = logRetention;
  const isSet = sizeBytesMax !== 0 || countMax !== 0 || maxAge !== 0;
  const logs = isSet ? { sizeBytesMax, countMax, ageMsMax: maxAge / 1e6 } : defaultLogRetention;
  return { owner: owner || undefined, quick, full, logRetention: logs, extendObjectLocks };
}

/** `user@host`; undefined when nobody is. @throws {RepositoryError} `corrupt` */
export function maintenanceOwner(set: ManifestSet): string | undefined {
  return maintenanceParams(set).owner;
}

/**
 * Makes another client the owner; every other parameter stays as it stands. Where several clients have made parameters at
 * once, the latest stay, as Kopia reads them.
 * @param owner `user@host`
 */
export function setMaintenanceOwner(set: ManifestSet, owner: string): void {
  const latest = set.latest(maintenanceLabels);
  if (latest === undefined) {
    set.put({ labels: maintenanceLabels, data: defaultMaintenanceParams(owner) });
    return;
  }
  maintenanceParams(set); // Malformed parameters are not written again.
  const known = parseJson(latest.data);
  const members = isJsonObject(known) ? Object.entries(known) : [];
  const others = members.filter(([key]) => key.toLowerCase() !== 'owner');
  const data = jsonObject({ owner, ...Object.fromEntries(others) });
  set.put({ labels: latest.labels, data, id: latest.id });
  for (const { id } of set.find(maintenanceLabels)) if (id !== latest.id) set.delete(id);
}

/** A lock must outlast the time between two full runs, and a day more, or it passes before it is extended (Kopia). */
export function canExtendLocks(periodMs: number): boolean {
  return periodMs >= (24 + 24) * 3_600_000;
}

/** Go prints durations as nanoseconds. */
function hours(count: number): number {
  return count * 3_600_000_000_000;
}
