/**
 * The way down: of what is on offer the best rung that can serve is taken, and each better one leaves its reason. At
 * the bottom stands the scan, which needs nothing. Rungs that an audit has caught are passed over until somebody says
 * that they are mended; an offer that fails is passed over as well, because nothing needs it but speed.
 */
import type { SnapshotId } from '../repository/manifest/snapshot.ts';
import type { VolumeTags } from '../repository/tree/volume-tags.ts';
import { leafBytes } from '../repository/tree/volume-layout.ts';
import { DrayError, hasCode } from '../std/dray-error.ts';
import type { Nanoseconds } from '../std/go-time.ts';
import { extentEnd, type Extent } from '../volume/extent.ts';
import { normalizeExtents } from '../volume/extents.ts';
import { fitToSize } from './change-list.ts';
import type { Changes, PassedOver } from './changes.ts';
import { rankOf, type OfferedRung } from './rungs.ts';

/** The snapshot in the repository that a run builds on. Its tags say which pool snapshot or bitmap it belongs to. */
export interface LadderParent {
  readonly id: SnapshotId;
  readonly sizeBytes: number;
  readonly startTime: Nanoseconds;
  readonly tags: VolumeTags;
}

export type Offered =
  /** All that may have changed since the parent, in any order, and how that is known. */
  | { readonly extents: readonly Extent[]; readonly reason: string }
  /** Why this parent's changes cannot be told. */
  | { readonly refused: string };

/** A way to learn what has changed in this run's source. */
export interface ChangeOffer {
  readonly rung: OfferedRung;
  /**
   * Called at most once in a run, and only when no better offer served. What is in use stays open until the backup has
   * ended: the offer's owner closes it.
   * @throws {ChangesError} `changes-invalid` ends the run; any other DrayError is a refusal
   */
  since(parent: LadderParent, options: { readonly signal: AbortSignal }): Promise<Offered>;
}

export interface LadderContext {
  readonly sizeBytes: number;
  readonly parent: LadderParent | undefined;
  /** Why no rung but a scan can serve, whatever is on offer: there should be a parent and is none, or not a good one. */
  readonly obstacle: string | undefined;
  readonly untrusted: readonly string[];
  readonly signal: AbortSignal;
}

export interface Descent {
  readonly changes: Changes;
  /** Best first. Empty for a first backup, which is no worse for want of a parent. */
  readonly passedOver: readonly PassedOver[];
}

/** @throws {ChangesError} `changes-invalid` */
export async function climbDown(offers: readonly ChangeOffer[], context: LadderContext): Promise<Descent> {
  const { parent, obstacle } = context;
  const sorted = offers.toSorted((a, b) => rankOf(a.rung) - rankOf(b.rung));
  if (obstacle !== undefined) {
    const passedOver = sorted.map(({ rung }) => ({ rung, reason: obstacle }));
    return { changes: { rung: 'scan', reason: obstacle }, passedOver };
  }
  if (parent === undefined) {
    return { changes: { rung: 'scan', reason: 'first backup of this source' }, passedOver: [] };
  }
  const passedOver: PassedOver[] = [];
  for (const offer of sorted) {
    const { rung } = offer;
    const offered = await ask(offer, parent, context);
    if (!('refused' in offered)) return { changes: { rung, parent: parent.id, ...offered }, passedOver };
    passedOver.push({ rung, reason: offered.refused });
  }
  return { changes: { rung: 'scan', reason: whyScan(passedOver) }, passedOver };
}

async function ask(offer: ChangeOffer, parent: LadderParent, context: LadderContext): Promise<Offered> {
  const { sizeBytes, untrusted, signal } = context;
  if (untrusted.includes(offer.rung)) return { refused: 'an audit caught it missing a change; see --trust-changes' };
  try {
    const offered = await offer.since(parent, { signal });
    if ('refused' in offered) return offered;
    const extents = normalizeExtents(offered.extents);
    const last = extents.at(-1);
    if (last !== undefined && extentEnd(last) > sizeBytes) {
      return { refused: `it names bytes up to ${extentEnd(last)} of a volume of ${sizeBytes}` };
    }
    const sizes = { sizeBytes, parentSizeBytes: parent.sizeBytes, chunkBytes: leafBytes };
    return { ...offered, extents: fitToSize({ extents }, sizes) };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof DrayError) || hasCode(error, 'changes-invalid')) throw error;
    return { refused: error.message };
  }
}

function whyScan(passedOver: readonly PassedOver[]): string {
  const [only, ...more] = passedOver;
  if (only === undefined) return 'nothing better was on offer';
  return more.length === 0 ? only.reason : passedOverText(passedOver);
}

export function passedOverText(passedOver: readonly PassedOver[]): string {
  return passedOver.map(({ rung, reason }) => `${rung}: ${reason}`).join('; ');
}
