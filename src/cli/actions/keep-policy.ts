/** What `--keep-…` says, and in which zone weeks begin: the same of a repository and of a pool. */
import { localOffsetSeconds } from '../../std/go-time.ts';
import type { RetentionOptions, RetentionPolicy } from '../../std/retention.ts';
import type { KeepCounts } from '../snapshot-expire.ts';

/** Weeks begin at the midnight of this machine, as for a kopia that runs here. */
export const retentionZone: RetentionOptions = { utcOffsetSeconds: localOffsetSeconds };

/** Only the periods that were given. */
export function keepPolicy(keep: KeepCounts): RetentionPolicy {
  const policy: Record<string, number> = {};
  for (const [period, count] of Object.entries(keep)) {
    policy[`keep${period.charAt(0).toUpperCase()}${period.slice(1)}`] = count;
  }
  return policy;
}
