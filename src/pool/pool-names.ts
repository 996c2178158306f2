/** Names of volumes and snapshots: they are folders of the pool, so what they may be is closed. */
import { PoolError } from './pool-error.ts';

const namePattern = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9_-])?$/;

/** 1 to 63 of `A-Z a-z 0-9 . _ -`, not beginning with a mark nor ending with a point. */
export function isPoolName(text: string): boolean {
  return namePattern.test(text);
}

/** @throws {PoolError} `pool-name` */
export function checkPoolName(text: string, what: 'volume' | 'snapshot'): string {
  if (isPoolName(text)) return text;
  const rule =
    '1 to 63 letters, digits, points, dashes and underscores, beginning with a letter or digit and not ending with a point';
  throw new PoolError('pool-name', `"${text}" cannot be the name of a ${what}: ${rule}`);
}

export interface SnapshotName {
  readonly volume: string;
  readonly snapshot: string;
}

/** `VOLUME@SNAPSHOT`. @throws {PoolError} `pool-name` */
export function parseSnapshotName(text: string): SnapshotName {
  const [volume = '', snapshot, ...rest] = text.split('@');
  if (snapshot === undefined || rest.length > 0) {
    throw new PoolError('pool-name', `"${text}" is not of the form VOLUME@SNAPSHOT`);
  }
  return { volume: checkPoolName(volume, 'volume'), snapshot: checkPoolName(snapshot, 'snapshot') };
}

export function snapshotName({ volume, snapshot }: SnapshotName): string {
  return `${volume}@${snapshot}`;
}

/** What has no other name is called by its time, such as `20310402T171500Z`; given in ISO 8601 and UTC. */
export function timeName(time: string): string {
  return time.replaceAll(/[-:]|\.\d+/g, '');
}

/** Whether a snapshot is called by its time: nobody gave it a name. A number tells those of one second apart. */
export function isTimeName(name: string): boolean {
  return /^\d{8}T\d{6}Z(?:-\d{1,3})?$/.test(name);
}
