/** Which rung of the ladder a backup stands on, and why on no better one. */
import { createHash } from 'node:crypto';

import { fitToSize } from '../changes/change-list.ts';
import { changedExtents, ChangesError, type Changes } from '../changes/changes.ts';
import type { Nanoseconds } from '../std/go-time.ts';
import { leafBytes } from '../repository/tree/volume-layout.ts';
import type { VolumeSnapshot } from './backup-parent.ts';
import { BackupError, type BackupRequest } from './backup-request.ts';

/**
 * @param base the parent, when its tree can be built upon
 * @param parentReason why there is none, where there might have been one
 * @throws {BackupError} `degraded` with `strict`; {ChangesError} `changes-invalid` for a list that does not fit
 */
export function decideChanges(
  request: BackupRequest,
  state: {
    readonly sizeBytes: number;
    readonly sourceId: string | undefined;
    readonly base: VolumeSnapshot | undefined;
    readonly parentReason?: string | undefined;
  },
): Changes {
  const changes = bestRung(request, state);
  const isFirst = state.base === undefined && state.parentReason === undefined;
  if (request.strict && changes.rung === 'scan' && !isFirst) {
    throw new BackupError('degraded', `the whole volume would have to be read: ${changes.reason}`);
  }
  return changes;
}

function bestRung(request: BackupRequest, state: Parameters<typeof decideChanges>[1]): Changes {
  const { changeList, trustMtime, layout } = request;
  const { sizeBytes, sourceId, base, parentReason } = state;
  if (base === undefined) {
    if (changeList !== undefined) throw new ChangesError('changes-invalid', 'a change list needs a parent');
    return { rung: 'scan', reason: parentReason ?? 'first backup of this source' };
  }
  const parent = base.snapshot.id;
  if (base.tags.suspect !== undefined) {
    return { rung: 'scan', reason: `the parent is suspect: ${base.tags.suspect}` };
  }
  const foreign = base.tags.layout !== layout;
  // A foreign tree can be rewritten as ours from its ids alone, so a list still serves; see `adopt-tree.ts`.
  if (changeList !== undefined && (!foreign || layout === 'tree-1')) {
    const extents = fitToSize(changeList, { sizeBytes, parentSizeBytes: base.sizeBytes, chunkBytes: leafBytes });
    return { rung: 'list', reason: 'a list of changes was given', extents, parent };
  }
  if (foreign)
    return { rung: 'scan', reason: `the parent's layout is ${base.tags.layout ?? 'foreign'}, not ${layout}` };
  if (!trustMtime) return { rung: 'scan', reason: 'no list of changes was given' };
  const same = sourceId !== undefined && sourceId === base.tags.sourceId && sizeBytes === base.sizeBytes;
  if (!same) return { rung: 'scan', reason: 'the file is not the one that the parent saw' };
  if (request.sourceId !== undefined) return { rung: 'mtime', reason: 'the source id is that of the parent', parent };
  if (isSettled(sourceId, base.snapshot.startTime))
    return { rung: 'mtime', reason: 'inode, size, mtime and ctime are those of the parent', parent };
  return {
    rung: 'scan',
    reason: 'the file was written less than 2 s before the parent was begun: its times cannot tell',
  };
}

/** The coarsest step in which file systems keep times (FAT; others: one tick of the kernel, 10 ms at most). */
const settledAfter: Nanoseconds = 2_000_000_000n;

/**
 * Whether a write after the parent had begun must have left its trace in the file's times. Times move in ticks: a
 * write in the very tick of the one before changes none of them.
 * @param fingerprint of a regular file; mtime and ctime are its last two numbers, in nanoseconds
 */
function isSettled(fingerprint: string, parentBegan: Nanoseconds): boolean {
  const times = /:(-?\d+):(-?\d+)$/.exec(fingerprint);
  return times !== null && times.slice(1).every((time) => BigInt(time) < parentBegan - settledAfter);
}

/** What tells these changes from others, for the checkpoint. */
export function changesDigest(changes: Changes): string {
  const extents = changedExtents(changes);
  if (extents === undefined) return 'all';
  const digest = createHash('sha256');
  for (const { offset, lengthBytes } of extents) digest.update(`${offset}+${lengthBytes}\n`);
  return digest.digest('hex');
}
