/**
 * A clone made before it counts, as live migration copies memory beforehand. XFS leaves each extent alone that the target of
 * a clone has already (`xfs_reflink_remap_extent`, since Linux 5.9): to clone a whole image once more costs 2 microseconds for
 * each extent instead of 15 to 60. So most of the work is done while applications run, in pieces so short that a write hardly
 * waits for one; what counts is the clone of the whole image at the moment of the snapshot, by which the file system makes
 * both equal whatever was written meanwhile. Nothing depends on what is done here but the time of that clone.
 */
import { fstatSync } from 'node:fs';
import { mapExtents } from '../kernel/extent-map.ts';
import { cloneRange } from '../kernel/reflink.ts';
import { isXfs } from '../kernel/xfs-geometry.ts';

/** A writer of the image waits for so many at once: one or two milliseconds. */
const extentsPerPiece = 64;
/**
 * Of fewer, cloning once more saves writers less than it costs them: what they write from here on is copied to new blocks, also what
 * the freeze waits for. 800 extents, 8,000 scattered writes a second to an ext4: 30 ms of freeze without, 250 to 480 with it.
 */
const extentsMin = 2000;

/**
 * Gives `toFd` what `fromFd` has, piece by piece: of no single moment. Does nothing where nothing is won. Both descriptors
 * belong to the call until it settles. @throws {KernelError} as `cloneRange` and `mapExtents`
 */
export async function preClone(
  { fromFd, toFd }: { readonly fromFd: number; readonly toFd: number },
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { size } = fstatSync(fromFd);
  const from = async (offset: number, extentsMax: number): Promise<number> => {
    const { coveredTo } = await mapExtents(fromFd, { offset, lengthBytes: size - offset }, { extentsMax, signal });
    return coveredTo;
  };
  if (!isXfs(fromFd) || (await from(0, extentsMin)) === size) return;
  for (let offset = 0; offset < size;) {
    const end = await from(offset, extentsPerPiece);
    await cloneRange({ fd: fromFd, offset }, { fd: toFd, offset }, end - offset);
    offset = end;
  }
}
