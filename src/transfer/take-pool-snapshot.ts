/**
 * The snapshot of a pool's volume that a backup stores: made, or named, with the need of the repository in it, and held
 * against removal. It needs nothing of the repository but its id, so it is taken while that is still being opened.
 * Until it begins to be stored, whatever fails leaves nothing: neither the snapshot nor the need. A kill leaves both,
 * as it does later: the next run completes it.
 */
import { holdSnapshot } from '../pool/hold-image.ts';
import { createNamedByTime } from '../pool/name-by-time.ts';
import { addNeed, withdrawNeed } from '../pool/needs.ts';
import type { Need } from '../pool/pool-records.ts';
import type { Pool, PoolSnapshot } from '../pool/pool.ts';
import { droppedText } from '../pool/room.ts';
import { hasCode } from '../std/dray-error.ts';

/** For taking back; then it is left to the next run. */
const withdrawMsMax = 10_000;

export interface TakeSnapshotRequest {
  readonly volume: string;
  /** A snapshot of the volume that is there; absent: a new one is made. */
  readonly snapshot: string | undefined;
  /** Its own id, hexadecimal. */
  readonly repository: string;
  /** For the message of what needs the snapshot; without secrets. */
  readonly url: string;
  /** The longest that writers may wait. */
  readonly freezeBoundMs: number;
  readonly onWarning: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface TakenSnapshot {
  readonly snapshot: PoolSnapshot;
  /** Whether this run made it. */
  readonly isNew: boolean;
  /** How long writers waited; 0 when nothing was frozen. */
  readonly frozenMs: number;
}

interface Held extends TakenSnapshot {
  readonly hold: Disposable;
  /** Whether the need was there before. */
  readonly wasNeeded: boolean;
}

/** Begins at once; what fails is told by `taken`. To be disposed of when the backup has ended, however. */
export class SnapshotTaking implements AsyncDisposable {
  readonly #pool: Pool;
  readonly #request: TakeSnapshotRequest;
  readonly #held: Promise<Held>;
  #stays = false;

  constructor(pool: Pool, request: TakeSnapshotRequest) {
    this.#pool = pool;
    this.#request = request;
    this.#held = request.snapshot === undefined ? this.#make() : this.#name(request.snapshot);
    this.#held.catch(() => {});
  }

  /** @throws {PoolError} as `createSnapshots`, `holdSnapshot`, `addNeed` */
  async taken(): Promise<TakenSnapshot> {
    return await this.#held;
  }

  /** From here on the snapshot stays, for the next run to go on from, unless a strict run is refused before it reads. */
  async whileStored<T>(work: () => Promise<T>): Promise<T> {
    this.#stays = true;
    try {
      return await work();
    } catch (error) {
      if (hasCode(error, 'degraded')) this.#stays = false;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const held = await this.#held.catch(() => undefined);
    if (held === undefined) return;
    held.hold[Symbol.dispose]();
    if (this.#stays || held.wasNeeded) return;
    await this.#takeBack(held.snapshot);
  }

  /** What cannot be taken back is as after a kill; the error that led here is the one to tell. */
  async #takeBack(snapshot: PoolSnapshot): Promise<void> {
    const { repository } = this.#request;
    const signal = AbortSignal.timeout(withdrawMsMax);
    await withdrawNeed(this.#pool, snapshot, { repository, signal }).catch(() => {});
  }

  async #make(): Promise<Held> {
    const { volume, freezeBoundMs, onWarning, signal } = this.#request;
    const { snapshots, frozenMs } = await createNamedByTime(this.#pool, {
      volumes: [volume],
      prefix: 'backup-',
      madeBy: 'backup',
      needs: [this.#need()],
      freezeBoundMs,
      onDropped: (base) => onWarning(droppedText(base)),
      signal,
    });
    const snapshot = snapshots[0]!;
    try {
      const hold = await holdSnapshot(this.#pool, snapshot, { signal });
      return { snapshot, isNew: true, frozenMs, hold, wasNeeded: false };
    } catch (error) {
      // Where it is missing, what has its name by now is somebody else's.
      if (!hasCode(error, 'pool-snapshot-missing')) await this.#takeBack(snapshot);
      throw error;
    }
  }

  async #name(name: string): Promise<Held> {
    const { volume, repository, signal } = this.#request;
    const snapshot = this.#pool.snapshot(volume, name);
    const wasNeeded = snapshot.record.needs.some((need) => need.repository === repository);
    using held = new DisposableStack();
    held.use(await holdSnapshot(this.#pool, snapshot, { signal }));
    await addNeed(this.#pool, snapshot, { need: this.#need(), signal });
    return { snapshot, isNew: false, frozenMs: 0, hold: held.move(), wasNeeded };
  }

  #need(): Need {
    const { repository, url } = this.#request;
    return { kind: 'backup', repository, url, since: new Date(this.#pool.clock.nowMs()).toISOString() };
  }
}
