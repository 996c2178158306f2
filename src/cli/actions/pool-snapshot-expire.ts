import { deleteEach, type Deletion } from '../../pool/delete-each.ts';
import { faultsOfVolume, soundOf } from '../../pool/find-faults.ts';
import { planExpiry } from '../../pool/plan-expiry.ts';
import { PoolError } from '../../pool/pool-error.ts';
import { namesIn, type Pool, type PoolSnapshot, type PoolVolume } from '../../pool/pool.ts';
import { readableSnapshots, readableVolume } from '../../pool/readable.ts';
import { toError } from '../../std/to-error.ts';
import type { Action } from '../command.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { shortTime } from '../shell/short-time.ts';
import type { PoolSnapshotExpireOptions } from '../snapshot-expire.ts';
import { endDeletions } from './end-deletions.ts';
import { openPool, warnOfDamage } from './open-pool.ts';
import { describePoolSnapshot, type PoolSnapshotRow } from './pool-snapshot-rows.ts';
import { retentionZone } from './retention-zone.ts';

/** The stable fields in JSON. */
interface ExpiryRow extends PoolSnapshotRow {
  /** Why it stays: `latest-1`, `hourly-3` and so on, `named`, `by a backup`, `lost`, `from the future`, or what needs or uses it. */
  readonly reasons: readonly string[];
  /** Deleted, or would be. */
  readonly expired: boolean;
  /** It should have gone, and is still there; of one that has gone, why its blocks did not come back, or that it is not durable. */
  readonly error: string | undefined;
  readonly dryRun: boolean;
}

export const poolSnapshotExpire: Action<PoolSnapshotExpireOptions> = async (context, { volumes, ...options }) => {
  const pool = openPool(context);
  const found = (volumes ?? namesIn(pool.layout.volumes)).map((volume) => lookAt(context, pool, volume));
  // Whoever named a volume that is not there, or is damaged, may have meant another: nothing of any is deleted.
  const lookUp = (name: string): PoolVolume | undefined =>
    volumes === undefined ? readableVolume(pool, name) : pool.volume(name);
  const readable = found.filter(({ volume }) => lookUp(volume) !== undefined);
  const { dryRun, named, keep: policy } = options;
  const nowMs = pool.clock.nowMs();
  const plan = readable
    .flatMap(({ snapshots, sound }) => planExpiry(snapshots, { policy, zone: retentionZone, nowMs, named, sound }))
    .map(({ snapshot, reasons }) => ({ snapshot, reasons, row: describePoolSnapshot(snapshot) }));
  // The oldest first: whatever stops this, the newest are left.
  const going = plan.filter(({ reasons }) => reasons.length === 0).map(({ snapshot }) => snapshot);
  const { signal } = context;
  const deletions = await deleteEach(pool, going.toReversed(), { force: false, dryRun, signal });
  const bySnapshot = new Map(deletions.map((deletion) => [deletion.snapshot, deletion]));
  const rows = plan.flatMap(({ snapshot, row, reasons }) => {
    const deletion = bySnapshot.get(snapshot);
    return deletion?.outcome === 'absent' ? [] : [{ ...row, ...outcomeFields(reasons, deletion), dryRun }];
  });
  await print(context, rows);
  endDeletions(context, deletions);
  return exitCodes.done;
};

function lookAt(
  context: CliContext,
  pool: Pool,
  volume: string,
): { readonly volume: string; readonly snapshots: readonly PoolSnapshot[]; readonly sound: ReadonlySet<string> } {
  const snapshots = readableSnapshots(pool, volume);
  const sound = soundOf(snapshots);
  warnOfDamage(context, faultsOfVolume(pool, volume, { sound, inSound: false }));
  return { volume, snapshots, sound };
}

function outcomeFields(
  reasons: readonly string[],
  deletion: Deletion | undefined,
): Pick<ExpiryRow, 'reasons' | 'expired' | 'error'> {
  if (deletion === undefined) return { reasons, expired: false, error: undefined };
  const { outcome, error } = deletion;
  if (outcome === 'deleted' && error === undefined) return { reasons, expired: true, error: undefined };
  const { message } = toError(error);
  if (outcome === 'deleted') return { reasons, expired: true, error: message };
  if (outcome === 'failed') return { reasons, expired: false, error: message };
  // Which snapshot it is stands beside it.
  const reason = (error instanceof PoolError ? error.reason : undefined) ?? message;
  return { reasons: [reason], expired: false, error: undefined };
}

async function print({ output }: CliContext, rows: readonly ExpiryRow[]): Promise<void> {
  await output.list(rows, {
    name: ({ snapshot }) => snapshot,
    columns: [
      { header: 'SNAPSHOT', value: ({ snapshot }) => snapshot },
      { header: 'TIME', value: ({ created }) => shortTime(created) },
      { header: 'WHAT', value: what },
      { header: 'WHY', value: ({ reasons, error }) => error ?? reasons.join(' ') },
    ],
  });
}

function what({ expired, error, dryRun }: ExpiryRow): string {
  if (expired) return dryRun ? 'would expire' : 'expired';
  return error === undefined ? 'kept' : 'failed';
}
