/**
 * Where a run learns what may have changed since its parent: one rung of the ladder, and why no better one served.
 * Changes are never too few; too many only costs time. Who cannot promise that is audited (`audit-plan.ts`).
 */
import { DrayError } from '../std/dray-error.ts';
import type { Extent } from '../volume/extent.ts';

/** `changes-invalid`: a change list that cannot be used. */
export class ChangesError extends DrayError<'changes-invalid'> {}

export type Changes =
  /** Everything is read; unchanged data is recognised by its ids. Misses nothing. */
  | { readonly rung: 'scan'; readonly reason: string }
  /** A list from outside names all that may have changed. As good as its author; audited. */
  | { readonly rung: 'list'; readonly reason: string; readonly extents: readonly Extent[]; readonly parent: string }
  /** The file's inode, size, mtime and ctime are the parent's: nothing has changed. Audited. */
  | { readonly rung: 'mtime'; readonly reason: string; readonly parent: string };

/** The extents to look at, in order; `undefined` means all of the volume. */
export function changedExtents(changes: Changes): readonly Extent[] | undefined {
  switch (changes.rung) {
    case 'scan':
      return undefined;
    case 'list':
      return changes.extents;
    case 'mtime':
      return [];
  }
}
