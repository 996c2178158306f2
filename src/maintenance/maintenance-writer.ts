/**
 * The writing session of a maintenance task. It begins with the first thing that is written: a task that finds nothing
 * to do leaves nothing behind, and needs no room.
 *
 * Durable in this order: session marker, packs, index blob; the marker goes last. Before the index blob nothing counts. A
 * crash leaves unreferenced packs and a marker, which later maintenance removes, and index blobs that are right.
 *
 * What was decided is written soon or not at all. An entry says when it was decided, and which entry wins, and what may be
 * dropped, hangs on that time: a process that was stopped for hours in between must not bring old news as if it were
 * true.
 */
import type { Clock } from '../std/clock.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';
import type { Identity, Repository } from '../repository/repository.ts';
import type { RepositoryWriter } from '../repository/repository-writer.ts';
import { MaintenanceError } from './maintenance-error.ts';

/** Entries that wait for a flush, about 300 bytes each. */
const entriesPerFlush = 50_000;
/** Half of what Kopia leaves between two writings of its index. */
const flushAfterMs = 5 * 60 * 1000;
/** Half of the margin that is left before anything is dropped (`safety.ts`). */
const waitingMaxMs = 30 * 60 * 1000;

export interface MaintenanceWriterParts {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly identity: Identity;
}

export class MaintenanceWriter implements AsyncDisposable {
  readonly #parts: MaintenanceWriterParts;
  readonly #signal: AbortSignal;
  #writer: RepositoryWriter | undefined;
  #waiting = 0;
  #waitingSinceMs = 0;
  #flushes = 0;

  constructor(parts: MaintenanceWriterParts, { signal }: { readonly signal: AbortSignal }) {
    this.#parts = parts;
    this.#signal = signal;
  }

  /** Index blobs that were written, or may have been. */
  get flushes(): number {
    return this.#flushes;
  }

  /** Marks a content, whose present entry this is, as deleted. */
  async delete(entry: IndexEntry): Promise<void> {
    const writer = await this.#session();
    writer.deleteEntry(entry);
    await this.#wrote();
  }

  /** Stores a content once more. As `RepositoryWriter.copy`. */
  async copy(entry: IndexEntry, sealed: Uint8Array, options: { readonly deleted: boolean }): Promise<void> {
    const writer = await this.#session();
    await writer.copy(entry, sealed, options);
    await this.#wrote();
  }

  /** Everything that was written counts when this resolves. @throws {MaintenanceError} `maintenance-late` */
  async finish(): Promise<void> {
    if (this.#writer === undefined) return;
    await this.#writer.finish({ check: () => this.#beforePut() });
    this.#writer = undefined;
  }

  /** Gives back the room of what does not count. */
  async discard(): Promise<void> {
    await this.#writer?.discard({ signal: this.#signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer?.[Symbol.asyncDispose]();
  }

  async #session(): Promise<RepositoryWriter> {
    const { repository, clock, identity } = this.#parts;
    this.#writer ??= await repository.writer(identity, { signal: this.#signal });
    if (this.#waiting++ === 0) this.#waitingSinceMs = clock.nowMs();
    return this.#writer;
  }

  async #wrote(): Promise<void> {
    const waitedMs = this.#parts.clock.nowMs() - this.#waitingSinceMs;
    if (this.#waiting < entriesPerFlush && waitedMs < flushAfterMs) return;
    await this.#writer?.flush({ check: () => this.#beforePut() });
    this.#waiting = 0;
  }

  #beforePut(): void {
    const waitedMs = this.#parts.clock.nowMs() - this.#waitingSinceMs;
    if (this.#waiting > 0 && waitedMs > waitingMaxMs) {
      const minutes = Math.round(waitedMs / 60_000);
      throw new MaintenanceError(
        'maintenance-late',
        `what was decided ${minutes} minutes ago is not written any more: this process must have been stopped meanwhile`,
      );
    }
    this.#flushes++;
  }
}
