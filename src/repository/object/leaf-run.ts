/** What an object consists of at the bottom, with repetition said once: a hole of any size is one item. */
import type { Extent } from '../../volume/extent.ts';
import { extentEnd } from '../../volume/extent.ts';
import type { ContentId } from '../content/content-id.ts';

/**
 * `repeat` (at least 1) times the same content of `lengthBytes` (at least 1) bytes, one after the other from `offset`
 * on: the run covers `lengthBytes * repeat` bytes.
 */
export interface LeafRun {
  readonly offset: number;
  readonly lengthBytes: number;
  readonly contentId: ContentId;
  /** The content is the compressed form of these bytes (format version 1), so its hash and length are others. */
  readonly compressed?: boolean | undefined;
  readonly repeat: number;
}

export function runEnd(run: LeafRun): number {
  return run.offset + run.lengthBytes * run.repeat;
}

/** The leaves of a run that touch `within`, whole; undefined when none does. */
export function trimRun(run: LeafRun, within: Extent): LeafRun | undefined {
  const first = Math.max(0, Math.floor((within.offset - run.offset) / run.lengthBytes));
  const last = Math.min(run.repeat, Math.ceil((extentEnd(within) - run.offset) / run.lengthBytes));
  if (last <= first || within.lengthBytes === 0) return undefined;
  return { ...run, offset: run.offset + first * run.lengthBytes, repeat: last - first };
}

/** Collects leaves in order and merges equal neighbours. */
export class RunBuffer {
  #runs: LeafRun[] = [];
  #offset = 0;
  #lengthBytes = 0;
  #contentId: ContentId | undefined;
  #compressed: boolean | undefined;
  #repeat = 0;

  add(offset: number, leaf: Omit<LeafRun, 'offset'>): void {
    const same = leaf.contentId === this.#contentId && leaf.compressed === this.#compressed;
    if (same && leaf.lengthBytes === this.#lengthBytes) {
      this.#repeat += leaf.repeat;
      return;
    }
    this.#close();
    this.#offset = offset;
    this.#lengthBytes = leaf.lengthBytes;
    this.#contentId = leaf.contentId;
    this.#compressed = leaf.compressed;
    this.#repeat = leaf.repeat;
  }

  /** Finished runs so far; the last one may still grow and is not counted. */
  get size(): number {
    return this.#runs.length;
  }

  /** Takes the finished runs out. */
  take(): LeafRun[] {
    const runs = this.#runs;
    this.#runs = [];
    return runs;
  }

  /** Takes everything out, also the run that could have grown. */
  end(): LeafRun[] {
    this.#close();
    return this.take();
  }

  #close(): void {
    if (this.#contentId === undefined) return;
    this.#runs.push({
      offset: this.#offset,
      lengthBytes: this.#lengthBytes,
      contentId: this.#contentId,
      ...(this.#compressed === true ? { compressed: true } : {}),
      repeat: this.#repeat,
    });
    this.#contentId = undefined;
  }
}
