/**
 * Has the file system write out what a restore has made while the restore goes on, so that the disk is not idle meanwhile
 * and the flush at the end finds little. What it has flushed counts for nothing: only the flush after the last write says
 * that all is on stable storage. But a failure of any flush is one of the restore, because the kernel tells each only once.
 */
export interface FlushAheadOptions {
  readonly flush: () => Promise<void>;
  readonly onFailure: (error: unknown) => void;
}

/** Enough for the file system to lay out files side by side, little enough to be on disk before as much again is made. */
const bytesBetween = 64 * 1024 * 1024;
const filesBetween = 8192;

export class FlushAhead {
  readonly #options: FlushAheadOptions;
  #files = 0;
  #bytes = 0;
  #underWay: Promise<void> | undefined;

  constructor(options: FlushAheadOptions) {
    this.#options = options;
  }

  /** So much more has been written. Begins a flush when enough has come together and none is under way. */
  wrote({ files, bytes }: { readonly files: number; readonly bytes: number }): void {
    this.#files += files;
    this.#bytes += bytes;
    if (this.#underWay !== undefined || (this.#files < filesBetween && this.#bytes < bytesBetween)) return;
    this.#files = 0;
    this.#bytes = 0;
    this.#underWay = this.#options
      .flush()
      .catch(this.#options.onFailure)
      .finally(() => (this.#underWay = undefined));
  }

  /** Resolves when none is under way. */
  async settled(): Promise<void> {
    await this.#underWay;
  }
}
