/** What each part of `bench/pool.ts` gets, and what it finds. */
import type { Bar } from '../bars.ts';
import type { Samples } from '../samples.ts';
import type { Workspace } from '../workspace.ts';

export interface PoolBench {
  readonly workspace: Workspace;
  readonly samples: Samples;
  readonly rounds: number;
  /** As little as shows that everything runs; the figures mean nothing. */
  readonly small: boolean;
  /** A snapshot a minute for an hour, where a minute is shortened otherwise. */
  readonly hour: boolean;
  readonly signal: AbortSignal;
}

export interface PoolFindings {
  readonly bars: readonly Bar[];
  /** What was done, in sentences. */
  readonly how: string;
  /** Figures beside the bars, in Markdown; may be empty. */
  readonly tables: string;
}

export interface PoolPart {
  readonly name: string;
  readonly title: string;
  /** Free room in the workspace, bytes. */
  readonly needsBytes: number;
  readonly run: (bench: PoolBench) => Promise<PoolFindings>;
}
