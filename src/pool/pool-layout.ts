/** Where things lie in a pool's folder. The format is specified in docs/formats/pool.md. */
import { join } from 'node:path';

export const poolRecordName = 'pool.json';
export const imageName = 'image';
export const volumeRecordName = 'volume.json';
export const snapshotRecordName = 'snapshot.json';

/** Paths below one pool. Names were checked (`pool-names.ts`): none of them leads elsewhere. */
export class PoolLayout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  get record(): string {
    return join(this.root, poolRecordName);
  }
  /** Locked by whoever changes the pool. */
  get lock(): string {
    return join(this.root, 'lock');
  }
  get volumes(): string {
    return join(this.root, 'volumes');
  }
  /** What is being made, and what is being removed. */
  get staging(): string {
    return join(this.root, 'staging');
  }
  /** The home of one volume: `live` and `snapshots`. */
  volume(name: string): string {
    return join(this.volumes, name);
  }
  live(name: string): string {
    return join(this.volume(name), 'live');
  }
  image(name: string): string {
    return join(this.live(name), imageName);
  }
  snapshots(name: string): string {
    return join(this.volume(name), 'snapshots');
  }
  snapshot(volume: string, name: string): string {
    return join(this.snapshots(volume), name);
  }
  snapshotImage(volume: string, name: string): string {
    return join(this.snapshot(volume, name), imageName);
  }
}
