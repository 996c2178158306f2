/** Who runs maintenance, and how often (Kopia `repo/maintenance/maintenance_params.go`). */
import { jsonObject } from '../../std/lossless-json.ts';
import type { JsonValue } from '../../std/lossless-json.ts';
import { decodeJson, goObject, goString } from './json-field.ts';
import type { Labels } from './manifest-codec.ts';
import type { ManifestSet } from './manifest-set.ts';

export const maintenanceLabels: Labels = { type: 'maintenance' };

/**
 * The parameters of a new repository: Kopia's own. Without an owner `kopia maintenance run` refuses for everybody.
 * @param owner `user@host`
 */
export function defaultMaintenanceParams(owner: string): JsonValue {
  return jsonObject({
    owner,
    quick: jsonObject({ enabled: true, interval: hours(1) }),
    full: jsonObject({ enabled: true, interval: hours(24) }),
    logRetention: jsonObject({ maxTotalSize: 1_073_741_824, maxCount: 10_000, maxAge: hours(30 * 24) }),
    extendObjectLocks: false,
    listParallelism: 0,
  });
}

/** `user@host`; undefined when nobody is. @throws {RepositoryError} `corrupt` */
export function maintenanceOwner(set: ManifestSet): string | undefined {
  const entry = set.latest(maintenanceLabels);
  if (entry === undefined) return undefined;
  return decodeJson(goObject({ owner: goString }), entry.data, 'maintenance parameters').owner || undefined;
}

/** Go prints durations as nanoseconds. */
function hours(count: number): number {
  return count * 3_600_000_000_000;
}
