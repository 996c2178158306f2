/** Where things lie in a pool's folder. The format is specified in docs/formats/pool.md. */

export const poolRecordName = 'pool.json';
export const imageName = 'image';
export const volumeRecordName = 'volume.json';
export const snapshotRecordName = 'snapshot.json';
/** Under the mount of a pool in an image: the image's path, in UTF-8. */
export const imageMarkName = '.dray-pool-image';

/** Paths below one pool. Names were checked (`pool-names.ts`): none of them leads elsewhere. */
export class PoolLayout {
  readonly root: string;
  readonly record: string;
  /** Only where nothing is mounted: of a pool that lies in an image (`pool-image.ts`). */
  readonly imageMark: string;
  /** Locked by whoever changes the pool. */
  readonly lock: string;
  readonly volumes: string;
  /** What is being made, and what is being removed. */
  readonly staging: string;

  /** @param root absolute, without a slash at its end */
  constructor(root: string) {
    this.root = root;
    this.record = `${root}/${poolRecordName}`;
    this.imageMark = `${root}/${imageMarkName}`;
    this.lock = `${root}/lock`;
    this.volumes = `${root}/volumes`;
    this.staging = `${root}/staging`;
  }

  /** The home of one volume: `live` and `snapshots`. */
  volume(name: string): string {
    return `${this.volumes}/${name}`;
  }
  live(name: string): string {
    return `${this.volume(name)}/live`;
  }
  image(name: string): string {
    return `${this.live(name)}/${imageName}`;
  }
  volumeRecord(name: string): string {
    return `${this.live(name)}/${volumeRecordName}`;
  }
  snapshots(name: string): string {
    return `${this.volume(name)}/snapshots`;
  }
  snapshot(volume: string, name: string): string {
    return `${this.snapshots(volume)}/${name}`;
  }
  snapshotImage(volume: string, name: string): string {
    return `${this.snapshot(volume, name)}/${imageName}`;
  }
  snapshotRecord(volume: string, name: string): string {
    return `${this.snapshot(volume, name)}/${snapshotRecordName}`;
  }
}
