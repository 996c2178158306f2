/** The images of a volume and of its snapshots, open for as long as somebody works on all of them. */
import { statSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { poolError, withPoolErrors } from './pool-error.ts';
import { namesIn, type Pool } from './pool.ts';

interface Identity {
  readonly dev: bigint;
  readonly ino: bigint;
}

export class VolumeImages implements AsyncDisposable {
  readonly live: FileHandle;
  readonly #pool: Pool;
  readonly #volume: string;
  readonly #liveId: string;
  /** By what each is, for as long as it is open nothing else is that. */
  #snapshots: ReadonlyMap<string, FileHandle> = new Map();

  private constructor(pool: Pool, volume: string, live: FileHandle, identity: Identity) {
    this.#pool = pool;
    this.#volume = volume;
    this.live = live;
    this.#liveId = idOf(identity);
  }

  /** @throws {PoolError} `pool-volume-missing`, `pool-io` */
  static async open(pool: Pool, volume: string): Promise<VolumeImages> {
    const { image } = pool.volume(volume);
    const live = await open(image, 'r+').catch((error: unknown) => {
      pool.volume(volume); // Gone since it was looked at.
      throw poolError(error, `open ${image}`);
    });
    return new VolumeImages(pool, volume, live, await live.stat({ bigint: true }));
  }

  /** For sure only under the pool's lock. @returns the size of the volume; undefined when it is gone, or another image took its place */
  sizeNow(): number | undefined {
    const found = statSync(this.#pool.layout.image(this.#volume), { bigint: true, throwIfNoEntry: false });
    return found !== undefined && idOf(found) === this.#liveId ? Number(found.size) : undefined;
  }

  /** Without the pool's lock: about as many. */
  snapshotCount(): number {
    return namesIn(this.#pool.layout.snapshots(this.#volume)).length;
  }

  /** Under the pool's lock: those that there are. The handles are ours, good until the next call. */
  async snapshotsNow(): Promise<Iterable<FileHandle>> {
    const { layout } = this.#pool;
    const now = new Map<string, FileHandle>();
    for (const name of namesIn(layout.snapshots(this.#volume))) {
      const image = layout.snapshotImage(this.#volume, name);
      const found = statSync(image, { bigint: true, throwIfNoEntry: false });
      // `dray pool check` tells of it. What is no file may never be open: a pipe without a writer.
      if (found?.isFile() !== true) continue;
      const id = idOf(found);
      const known = this.#snapshots.get(id);
      now.set(id, known ?? (await withPoolErrors(`open ${image}`, async () => await open(image, 'r'))));
    }
    const gone = [...this.#snapshots].filter(([id]) => !now.has(id));
    this.#snapshots = now;
    for (const [, file] of gone) await file.close();
    return now.values();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of [this.live, ...this.#snapshots.values()]) await file.close();
  }
}

function idOf({ dev, ino }: Identity): string {
  return `${dev}:${ino}`;
}
