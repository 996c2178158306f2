/**
 * A pool: volumes as sparse images on one file system that can share blocks, their snapshots and clones as reflinks.
 * Whatever changes a pool holds its lock (`change`), which dies with its holder, and makes what it changes visible by
 * one rename of something that is durable already (`staging.ts`). Who only reads takes no lock: a listing sees each
 * volume and snapshot whole or not at all.
 */
import { readdirSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { FileLock } from '../kernel/lock-file.ts';
import { isErrno } from '../std/atomic-write.ts';
import type { Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import type { Rng } from '../std/rng.ts';
import { closedText, PoolError, withPoolErrors } from './pool-error.ts';
import { PoolLayout } from './pool-layout.ts';
import { isPoolName, type SnapshotName } from './pool-names.ts';
import {
  poolRecordSchema,
  readRecord,
  snapshotRecordSchema,
  volumeRecordSchema,
  type PoolRecord,
  type SnapshotRecord,
  type VolumeRecord,
} from './pool-records.ts';
import { recoverStaging, type Leftovers } from './recover-staging.ts';

export interface PoolParts {
  readonly clock: Clock;
  readonly rng: Rng;
}

export interface PoolVolume {
  readonly name: string;
  readonly record: VolumeRecord;
  readonly sizeBytes: number;
  /** Bytes of blocks that it maps, shared or not. */
  readonly allocatedBytes: number;
  readonly image: string;
}

export interface PoolSnapshot extends SnapshotName {
  readonly record: SnapshotRecord;
  readonly image: string;
}

/** How long one waits for another that changes the pool: a clone of a fragmented volume takes seconds. */
const lockWaitMs = 60_000;

export class Pool {
  readonly layout: PoolLayout;
  readonly record: PoolRecord;
  readonly clock: Clock;
  readonly rng: Rng;

  private constructor(layout: PoolLayout, record: PoolRecord, { clock, rng }: PoolParts) {
    this.layout = layout;
    this.record = record;
    this.clock = clock;
    this.rng = rng;
  }

  /** @throws {PoolError} `pool-missing`, `pool-version`, `pool-damaged` */
  static open(path: string, parts: PoolParts): Pool {
    const layout = new PoolLayout(resolve(path));
    const record = readRecord(layout.record, poolRecordSchema);
    if (record === undefined) {
      const isClosed = exists(layout.imageMark);
      throw new PoolError('pool-missing', isClosed ? closedText(layout.root) : `there is no pool in ${layout.root}`);
    }
    return new Pool(layout, record, parts);
  }

  get id(): string {
    return this.record.id;
  }

  /**
   * Runs `work` while nobody else changes the pool. What a killed process left half-made is completed or removed first;
   * `work` is told what that was. With `mend` also what keeps everybody else from changing the pool is dealt with.
   * What the system refuses in `work` becomes a PoolError.
   * @throws {PoolError} `pool-busy` when another holds the pool for more than a minute; `pool-damaged` for what only `mend` deals with
   */
  async change<T>(
    work: (leftovers: Leftovers) => Promise<T>,
    { mend = false, signal }: { readonly mend?: boolean; readonly signal: AbortSignal },
  ): Promise<T> {
    const { lock, root } = this.layout;
    const take = { mode: 'exclusive', waitMs: lockWaitMs, create: true, clock: this.clock, signal } as const;
    const taken = await withPoolErrors(`lock the pool ${root}`, async () => await FileLock.take(lock, take)).catch(
      (error: unknown) => {
        if (!(error instanceof PoolError) || !hasCode(error.cause, 'kernel-busy')) throw error;
        throw new PoolError('pool-busy', `another process changes the pool ${root}`, { cause: error.cause });
      },
    );
    using _lock = taken;
    const leftovers = await withPoolErrors(`clear away what was left in the pool ${root}`, async () => {
      return await recoverStaging(this.layout, { mend, clock: this.clock, signal });
    });
    return await withPoolErrors(`change the pool ${root}`, async () => await work(leftovers));
  }

  /** Sorted. @throws {PoolError} `pool-damaged` */
  volumes(): PoolVolume[] {
    return namesIn(this.layout.volumes).flatMap((name) => this.findVolume(name) ?? []);
  }

  /** @throws {PoolError} `pool-volume-missing`, `pool-damaged` */
  volume(name: string): PoolVolume {
    const volume = this.findVolume(name);
    if (volume !== undefined) return volume;
    throw new PoolError('pool-volume-missing', `there is no volume ${name} in the pool ${this.layout.root}`);
  }

  findVolume(name: string): PoolVolume | undefined {
    return isPoolName(name) ? settled(() => this.#lookAtVolume(name)) : undefined;
  }

  #lookAtVolume(name: string): PoolVolume | undefined {
    const record = readRecord(this.layout.volumeRecord(name), volumeRecordSchema);
    if (record === undefined) {
      if (!exists(this.layout.volume(name))) return undefined;
      throw new PoolError('pool-damaged', `volume ${name} has no record`);
    }
    const image = this.layout.image(name);
    try {
      const { size, blocks } = statSync(image);
      return { name, record, sizeBytes: size, allocatedBytes: blocks * 512, image };
    } catch (error) {
      throw new PoolError('pool-damaged', `the image of volume ${name} is gone`, { cause: error });
    }
  }

  /** Oldest first. @throws {PoolError} `pool-volume-missing`, `pool-damaged` */
  snapshots(volume: string): PoolSnapshot[] {
    const names = namesIn(this.layout.snapshots(volume));
    if (names.length === 0 && this.findVolume(volume) === undefined) this.volume(volume);
    const found = names.flatMap((name) => this.findSnapshot(volume, name) ?? []);
    return oldestFirst(found);
  }

  /** @throws {PoolError} `pool-snapshot-missing`, `pool-damaged` */
  snapshot(volume: string, name: string): PoolSnapshot {
    const snapshot = this.findSnapshot(volume, name);
    if (snapshot !== undefined) return snapshot;
    this.volume(volume);
    throw new PoolError('pool-snapshot-missing', `there is no snapshot ${name} of volume ${volume}`);
  }

  findSnapshot(volume: string, name: string): PoolSnapshot | undefined {
    if (!isPoolName(volume) || !isPoolName(name)) return undefined;
    return settled(() => this.#lookAtSnapshot(volume, name));
  }

  #lookAtSnapshot(volume: string, name: string): PoolSnapshot | undefined {
    const record = readRecord(this.layout.snapshotRecord(volume, name), snapshotRecordSchema);
    if (record !== undefined) return { volume, snapshot: name, record, image: this.layout.snapshotImage(volume, name) };
    if (!exists(this.layout.snapshot(volume, name))) return undefined;
    throw new PoolError('pool-damaged', `snapshot ${volume}@${name} has no record`);
  }
}

export function oldestFirst(snapshots: readonly PoolSnapshot[]): PoolSnapshot[] {
  return snapshots
    .map((snapshot) => ({ snapshot, createdMs: Date.parse(snapshot.record.created) }))
    .sort((a, b) => a.createdMs - b.createdMs)
    .map(({ snapshot }) => snapshot);
}

/** Looks so often at what seems damaged. */
const looksMax = 3;

/**
 * Who reads takes no lock: between two looks at one folder another process may have put it in its place or taken it out.
 * What seems damaged is looked at again.
 */
function settled<T>(look: () => T): T {
  for (let looks = 1; ; looks += 1) {
    try {
      return look();
    } catch (error) {
      if (looks === looksMax || !hasCode(error, 'pool-damaged')) throw error;
    }
  }
}

/** The entries of a folder that can be names, sorted; none when it is not there, or no folder. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter(isPoolName).sort();
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return [];
    throw new PoolError('pool-io', `list ${folder}`, { cause: error });
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
