/**
 * What may have changed since a run's parent, by one rung of the ladder, and why no better one served.
 * Changes are never too few; too many only costs time. Who cannot promise that is audited (`audit-plan.ts`).
 */
import { DrayError } from '../std/dray-error.ts';
import type { Extent } from '../volume/extent.ts';
import type { OfferedRung } from './rungs.ts';

/**
 * - `changes-invalid`: a change list that cannot be used.
 * - `changes-incomparable`: two states that cannot be compared without reading them.
 */
export class ChangesError extends DrayError<'changes-invalid' | 'changes-incomparable'> {}

export type Changes =
  /** Everything is read; unchanged data is recognised by its ids. Misses nothing. */
  | { readonly rung: 'scan'; readonly reason: string }
  /** Somebody names all that may have changed since the parent. */
  | {
      readonly rung: OfferedRung;
      readonly reason: string;
      readonly parent: string;
      /** Normal, within the volume. */
      readonly extents: readonly Extent[];
    };

/** The extents to look at, in order; `undefined` means all of the volume. */
export function changedExtents(changes: Changes): readonly Extent[] | undefined {
  return changes.rung === 'scan' ? undefined : changes.extents;
}

/** A rung that was asked for or on offer, better than the one that is used, and why it could not serve. */
export interface PassedOver {
  readonly rung: OfferedRung;
  readonly reason: string;
}
