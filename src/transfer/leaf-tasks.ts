/**
 * Groups the leaves of an object into tasks for the fetch workers, in order of offset: stretches of chunks of at most
 * one task's size, and holes of any size as one item. Leaves outside the wanted range are left out.
 */
import { contentIdOf, type ContentId } from '../repository/content/content-id.ts';
import type { LeafRun } from '../repository/object/leaf-run.ts';
import { fetchTaskBytes, type FetchLeaf } from './fetch-messages.ts';

export type LeafTask =
  | {
      readonly kind: 'leaves';
      readonly offset: number;
      readonly lengthBytes: number;
      readonly leaves: readonly FetchLeaf[];
    }
  | { readonly kind: 'zero'; readonly offset: number; readonly lengthBytes: number };

export interface LeafTaskOptions {
  /** True for runs of contents that are known to be all zeros. */
  readonly isZero: (run: LeafRun) => boolean;
  /** The real size of the volume: what a padded last leaf holds beyond it is checked, but is not part of the volume. */
  readonly sizeBytes: number;
}

export async function* leafTasks(
  batches: AsyncIterable<readonly LeafRun[]>,
  { isZero, sizeBytes }: LeafTaskOptions,
): AsyncGenerator<LeafTask> {
  let leaves: FetchLeaf[] = [];
  let start = 0;
  let end = 0;
  const close = (): LeafTask[] => {
    if (leaves.length === 0) return [];
    const task: LeafTask = { kind: 'leaves', offset: start, lengthBytes: end - start, leaves };
    leaves = [];
    return [task];
  };
  for await (const batch of batches) {
    for (const run of batch) {
      if (isZero(run)) {
        yield* close();
        const lengthBytes = Math.min(run.lengthBytes * run.repeat, sizeBytes - run.offset);
        if (lengthBytes > 0) yield { kind: 'zero', offset: run.offset, lengthBytes };
        continue;
      }
      for (let copy = 0; copy < run.repeat; copy++) {
        const offset = run.offset + copy * run.lengthBytes;
        const joins = leaves.length > 0 && end === offset && offset + run.lengthBytes - start <= fetchTaskBytes;
        if (!joins) {
          yield* close();
          start = offset;
        }
        const { lengthBytes, contentId, compressed } = run;
        leaves.push({ offset, lengthBytes, contentId, compressed });
        end = offset + run.lengthBytes;
      }
    }
  }
  yield* close();
}

/** No splitter makes longer chunks (Kopia's largest: 16 MiB). */
const zeroChunkBytesMax = 16 * 1024 * 1024;
const zeroLengthsMax = 16;

/**
 * Knows the contents that are all zeros, which need not be fetched, by the hash of as many zeros. Hashing costs as much as
 * fetching does, and splitters by content cut every chunk to another length: so, beyond the first lengths, only one that
 * repeats is worth it.
 */
export function zeroTest(hash: (bytes: Uint8Array) => Uint8Array): (run: LeafRun) => boolean {
  const known = new Map<number, ContentId>();
  return ({ contentId, lengthBytes, repeat, compressed = false }) => {
    if (compressed || lengthBytes > zeroChunkBytesMax) return false;
    let zeros = known.get(lengthBytes);
    if (zeros === undefined) {
      if (known.size >= zeroLengthsMax) {
        if (repeat === 1) return false;
        known.delete(known.keys().next().value!);
      }
      zeros = contentIdOf('', hash(new Uint8Array(lengthBytes)));
      known.set(lengthBytes, zeros);
    }
    return contentId === zeros;
  };
}
