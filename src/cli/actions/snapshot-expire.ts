import { effectivePolicy } from '../../repository/manifest/policy.ts';
import { listSnapshots, type Snapshot } from '../../repository/manifest/snapshot.ts';
import { formatSource } from '../../repository/manifest/snapshot-source.ts';
import { applyRetention } from '../../std/retention.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { shortTime } from '../shell/short-time.ts';
import type { SnapshotExpireOptions } from '../snapshot-expire.ts';
import { changeManifests } from './change-manifests.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';
import { retentionZone } from './retention-zone.ts';
import { describeSnapshot } from './snapshot-list.ts';
import { sourceOf } from './source-of.ts';

export const snapshotExpire: RepositoryAction<SnapshotExpireOptions> = async (context, options, opening) => {
  await using opened = await openRepository(context, opening);
  const { repository } = opened;
  const set = await repository.manifests.load({ signal: context.signal });
  const source = options.source === undefined ? undefined : await sourceOf(context, options.source);
  const bySource = Map.groupBy(listSnapshots(set, source).snapshots, (snapshot) => formatSource(snapshot.source));
  const rows: { snapshot: Snapshot; reasons: readonly string[]; expired: boolean }[] = [];
  for (const snapshots of bySource.values()) {
    const { retention } = effectivePolicy(set, snapshots[0]!.source);
    const { keep, expire } = applyRetention(snapshots, { ...retention, ...options.keep }, retentionZone);
    rows.push(...keep.map(({ item, reasons }) => ({ snapshot: item, reasons, expired: false })));
    rows.push(...expire.map((snapshot) => ({ snapshot, reasons: [], expired: true })));
  }
  const expired = rows.filter((row) => row.expired).map(({ snapshot }) => snapshot.id);
  if (!options.dryRun) {
    await changeManifests(context, { repository, set }, () => expired.forEach((id) => set.delete(id)));
  }
  const shown = rows.map(({ snapshot, reasons, expired: isExpired }) => ({
    ...describeSnapshot(snapshot),
    reasons,
    expired: isExpired,
    dryRun: options.dryRun,
  }));
  await context.output.list(shown, {
    name: ({ id }) => id,
    columns: [
      { header: 'ID', value: ({ id }) => id.slice(0, 12) },
      { header: 'TIME', value: ({ startTime }) => shortTime(startTime) },
      { header: 'WHAT', value: (row) => (row.expired ? (options.dryRun ? 'would expire' : 'expired') : 'kept') },
      { header: 'WHY', value: ({ reasons, pins }) => [...reasons, ...pins.map((pin) => `pin:${pin}`)].join(' ') },
      { header: 'SOURCE', value: (row) => row.source },
    ],
  });
  return exitCodes.done;
};
