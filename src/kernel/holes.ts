/**
 * Where a file may hold data. SEEK_DATA and SEEK_HOLE answer within microseconds from the extent map; they may call
 * zeros data but never data a hole. A descriptor that cannot answer (block devices, some file systems) is all data.
 */
import { nextTurn } from '../std/next-turn.ts';
import { KernelError, lseek } from './sys.ts';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Seeks between two turns of the event loop. */
const seeksPerTurn = 1024;

export interface DataRange {
  readonly offset: number;
  readonly lengthBytes: number;
}

/**
 * The ranges within `within` that may hold data, sorted and disjoint; all else reads as zeros. Uses the descriptor's
 * own position: reads on it must name theirs. A file that changes meanwhile gives a mix of then and now.
 */
export async function* dataRanges(
  fd: number,
  within: DataRange,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<DataRange, void, undefined> {
  const end = within.offset + within.lengthBytes;
  let position = within.offset;
  for (let seeks = 1; position < end; seeks += 1) {
    signal.throwIfAborted();
    if (seeks % seeksPerTurn === 0) await nextTurn();
    const start = seek(fd, position, SEEK_DATA);
    if (start === undefined || start >= end) return;
    const stop = Math.min(seek(fd, start, SEEK_HOLE) ?? end, end);
    // A file that shrinks between the two calls can answer with a hole at the data's start; data is the safe answer.
    const next = stop > start ? stop : end;
    yield { offset: start, lengthBytes: next - start };
    position = next;
  }
}

function seek(fd: number, offset: number, whence: number): number | undefined {
  try {
    return lseek(fd, offset, whence);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return whence === SEEK_DATA ? offset : undefined;
  }
}
