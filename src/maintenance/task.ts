/** What every task of maintenance is given, and what it tells. */
import type { Clock } from '../std/clock.ts';
import type { JsonObject } from '../std/lossless-json.ts';
import type { Rng } from '../std/rng.ts';
import type { Identity, Repository } from '../repository/repository.ts';

export interface TaskContext {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly identity: Identity;
  /** When this maintenance began, by the store's clock, Unix milliseconds. */
  readonly startMs: number;
  /** Look, and write nothing. */
  readonly dryRun: boolean;
  /** A local folder for this maintenance alone. */
  readonly spoolFolder: string;
  readonly signal: AbortSignal;
}

export interface TaskOutcome {
  /** What goes into the history, in Kopia's words (`maintenancestats`); null where Kopia says nothing. */
  readonly extra: { readonly kind: string; readonly data: JsonObject | null };
  /** One line for people. */
  readonly summary: string;
  /** Blobs that are gone, or with a dry run would be. */
  readonly removed?: Tally | undefined;
  /** Contents newly marked as deleted, or that would be; their room comes back when later runs remove their packs. */
  readonly marked?: Tally | undefined;
  /** Blobs that the store would not let go, and why the first of them stays. */
  readonly refused?: Refused | undefined;
}

/** A count, and the bytes together. */
export interface Tally {
  readonly count: number;
  readonly bytes: number;
}

export interface Refused {
  readonly count: number;
  readonly reason: string;
}

/** A tally that grows. */
export class Sum implements Tally {
  count = 0;
  bytes = 0;

  add(bytes: number): void {
    this.count++;
    this.bytes += bytes;
  }
}
