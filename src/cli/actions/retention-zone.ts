import { localOffsetSeconds } from '../../std/go-time.ts';
import type { RetentionOptions } from '../../std/retention.ts';

/** Weeks begin at the midnight of this machine, as for a kopia that runs here. */
export const retentionZone: RetentionOptions = { utcOffsetSeconds: localOffsetSeconds };
