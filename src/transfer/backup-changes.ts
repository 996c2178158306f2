/**
 * Which rung of the ladder a backup stands on. What the command was given, a list or the word to trust a file's times,
 * is an offer like those of pools and servers.
 */
import { createHash } from 'node:crypto';

import { fitToSize, type ChangeList } from '../changes/change-list.ts';
import { changedExtents, ChangesError, type Changes } from '../changes/changes.ts';
import { climbDown, passedOverText, type ChangeOffer, type Descent } from '../changes/ladder.ts';
import { leafBytes } from '../repository/tree/volume-layout.ts';
import type { Nanoseconds } from '../std/go-time.ts';
import type { VolumeSnapshot } from './backup-parent.ts';
import { BackupError, type BackupRequest } from './backup-request.ts';

export interface ChangesState {
  readonly sizeBytes: number;
  readonly sourceId: string | undefined;
  /** The parent, when its tree can be built upon. */
  readonly base: VolumeSnapshot | undefined;
  /** Why there is none, where there might have been one. */
  readonly parentReason: string | undefined;
  /** Rungs that an audit has caught. */
  readonly untrusted: readonly string[];
}

/**
 * @throws {BackupError} `degraded`: with `strict`, when a better rung was asked for or on offer and cannot serve
 * @throws {ChangesError} `changes-invalid` for a list that does not fit
 */
export async function decideChanges(request: BackupRequest, state: ChangesState): Promise<Descent> {
  const { changeList, trustMtime, strict, signal } = request;
  const { base, sizeBytes, untrusted } = state;
  const offers = [...request.offers];
  if (changeList !== undefined) {
    if (base === undefined) throw new ChangesError('changes-invalid', 'a change list needs a parent');
    offers.push(listOffer(changeList, sizeBytes));
  }
  if (trustMtime) offers.push(mtimeOffer(request, state));
  const parent = base && { ...base.snapshot, sizeBytes: base.sizeBytes, tags: base.tags };
  const descent = await climbDown(offers, {
    sizeBytes,
    parent,
    obstacle: obstacleOf(request, state),
    untrusted,
    signal,
  });
  const { changes, passedOver } = descent;
  if (strict && passedOver.length > 0) {
    const instead =
      changes.rung === 'scan' ? 'the whole volume would have to be read' : `"${changes.rung}" would serve`;
    throw new BackupError('degraded', `${instead}: ${passedOverText(passedOver)}`);
  }
  return descent;
}

/** What of the parent keeps every rung but the scan from serving. */
function obstacleOf({ layout }: BackupRequest, { base, parentReason }: ChangesState): string | undefined {
  if (base === undefined) return parentReason;
  const { suspect, layout: baseLayout } = base.tags;
  if (suspect !== undefined) return `the parent is suspect: ${suspect}`;
  // A foreign tree can be rewritten as one of nodes from its ids alone; see `adopt-tree.ts`. Not as a flat one.
  if (baseLayout === layout || layout === 'tree-1') return undefined;
  return `the parent's layout is ${baseLayout ?? 'foreign'}, not ${layout}`;
}

/** A list that does not fit is the user's to mend: it ends the run. */
function listOffer(list: ChangeList, sizeBytes: number): ChangeOffer {
  return {
    rung: 'list',
    since: async (parent) => {
      const extents = fitToSize(list, { sizeBytes, parentSizeBytes: parent.sizeBytes, chunkBytes: leafBytes });
      return await Promise.resolve({ extents, reason: 'a list of changes was given' });
    },
  };
}

function mtimeOffer({ sourceId: named }: BackupRequest, { sizeBytes, sourceId }: ChangesState): ChangeOffer {
  return {
    rung: 'mtime',
    since: async ({ tags, sizeBytes: parentSizeBytes, startTime }) => {
      const same = sourceId !== undefined && sourceId === tags.sourceId && sizeBytes === parentSizeBytes;
      if (!same) return { refused: 'the file is not the one that the parent saw' };
      if (named !== undefined) return { extents: [], reason: 'the source id is that of the parent' };
      if (!isSettled(sourceId, startTime)) {
        return { refused: 'the file was written less than 2 s before the parent was begun: its times cannot tell' };
      }
      return await Promise.resolve({ extents: [], reason: 'inode, size, mtime and ctime are those of the parent' });
    },
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
