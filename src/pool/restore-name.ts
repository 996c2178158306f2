/** Names of the folders that unfinished restores have in `staging`: `restore-VOLUME-SNAPSHOT`. */
import { isPoolName } from './pool-names.ts';

/** Digits of the id of the repository's snapshot. */
const idDigits = 16;

export interface RestoreName {
  readonly volume: string;
  /** Beginning of the id of the repository's snapshot. */
  readonly snapshot: string;
}

export function restoreName({ volume, snapshot }: RestoreName): string {
  return `restore-${volume}-${snapshot.slice(0, idDigits)}`;
}

/** undefined for the name of anything else. */
export function parseRestoreName(name: string): RestoreName | undefined {
  const [, volume, snapshot] = /^restore-(.+)-([0-9a-f]{1,16})$/.exec(name) ?? [];
  if (volume === undefined || snapshot === undefined || !isPoolName(volume)) return undefined;
  return { volume, snapshot };
}
