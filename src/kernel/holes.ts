/**
 * Where a file may hold data. SEEK_DATA and SEEK_HOLE answer within microseconds from the extent map; they may call
 * zeros data but never data a hole. A descriptor that cannot answer (block devices, some file systems) is all data.
 */
import { nextTurn } from '../std/next-turn.ts';
import { KernelError, lseek } from './sys.ts';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Ranges between two turns of the event loop. */
const foundPerTurn = 512;

export interface DataRange {
  readonly offset: number;
  readonly lengthBytes: number;
}

/** The data of one open file, whose descriptor's own position it uses: reads on that must name theirs. */
export class DataMap {
  readonly #fd: number;
  /**
   * What was found last, to its end, however far past what was asked for: to find that end, XFS goes through each extent
   * on the way, which for every piece of a fragmented file would be all the rest of them.
   */
  #found: FoundData = { start: 0, end: 0 };

  constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * The ranges within `within` that may hold data, sorted and disjoint; all else reads as zeros. A file that changes
   * meanwhile gives a mix of then and now.
   */
  async *ranges(
    within: DataRange,
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<DataRange, void, undefined> {
    const end = within.offset + within.lengthBytes;
    let position = within.offset;
    for (let found = 1; position < end; found += 1) {
      signal.throwIfAborted();
      if (found % foundPerTurn === 0) await nextTurn();
      const data = this.#find(position);
      if (data === undefined || data.start >= end) return;
      const start = Math.max(data.start, position);
      position = Math.min(data.end, end);
      yield { offset: start, lengthBytes: position - start };
    }
  }

  /** The first that ends after `position`. */
  #find(position: number): FoundData | undefined {
    if (position >= this.#found.start && position < this.#found.end) return this.#found;
    const start = seek(this.#fd, position, SEEK_DATA);
    if (start === undefined) return undefined;
    const end = seek(this.#fd, start, SEEK_HOLE) ?? Infinity;
    // A file that shrinks between the two calls can answer with a hole at the data's start; data is the safe answer.
    this.#found = { start, end: end > start ? end : Infinity };
    return this.#found;
  }
}

/** Offsets; `end` is exclusive. */
interface FoundData {
  readonly start: number;
  readonly end: number;
}

function seek(fd: number, offset: number, whence: number): number | undefined {
  try {
    return lseek(fd, offset, whence);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return whence === SEEK_DATA ? offset : undefined;
  }
}
