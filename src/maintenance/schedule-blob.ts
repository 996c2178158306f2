/**
 * The schedule in the store. It is read anew before it is changed, so that two maintainers lose as little as can be of
 * each other's history; what is lost all the same only delays what may be deleted.
 */
import type { BlobStore } from '../blobs/blob-store.ts';
import { ifThere } from '../blobs/if-there.ts';
import type { OpenedFormat } from '../repository/format/format-store.ts';
import { maintenanceBlobId, openMaintenance, sealMaintenance } from '../repository/format/maintenance-blob.ts';
import type { Rng } from '../std/rng.ts';
import { Schedule } from './schedule.ts';

interface Call {
  readonly signal: AbortSignal;
}

export class ScheduleBlob {
  readonly #store: BlobStore;
  readonly #opened: Pick<OpenedFormat, 'deriveKey'>;
  readonly #rng: Rng;

  constructor({
    store,
    opened,
    rng,
  }: {
    readonly store: BlobStore;
    readonly opened: Pick<OpenedFormat, 'deriveKey'>;
    readonly rng: Rng;
  }) {
    this.#store = store;
    this.#opened = opened;
    this.#rng = rng;
  }

  /** @throws {RepositoryError} `corrupt`; {BlobError} */
  async read({ signal }: Call): Promise<Schedule> {
    const sealed = await ifThere(this.#store.get(maintenanceBlobId, { signal }));
    return sealed === undefined ? Schedule.empty() : Schedule.parse(openMaintenance(this.#opened, sealed));
  }

  /** Reads, changes and puts it. @returns what was put */
  async change(change: (schedule: Schedule) => Schedule, { signal }: Call): Promise<Schedule> {
    const changed = change(await this.read({ signal }));
    await this.#store.put(maintenanceBlobId, sealMaintenance(this.#opened, changed.encode(), this.#rng), { signal });
    return changed;
  }

  /** When it was last put, by the store's clock, Unix milliseconds. */
  async storedMs({ signal }: Call): Promise<number> {
    return (await this.#store.stat(maintenanceBlobId, { signal })).timestampMs;
  }
}
