/** Whose snapshot something is: `user@host:/path`, as Kopia says it. Parent, retention and resume look at the same source. */
import type { Labels } from './manifest-codec.ts';

export interface SnapshotSource {
  readonly userName: string;
  readonly host: string;
  readonly path: string;
}

/** `*` for a part that may be anything. */
export function formatSource({ userName = '*', host = '*', path = '*' }: Partial<SnapshotSource>): string {
  return `${userName}@${host}:${path}`;
}

/** Undefined unless all three parts are there. */
export function parseSource(text: string): SnapshotSource | undefined {
  const match = /^([^@]+)@([^:]+):(.+)$/s.exec(text);
  if (match === null) return undefined;
  return { userName: match[1]!, host: match[2]!, path: match[3]! };
}

/** The labels by which the snapshots of a source are found; a part that is left out may be anything. */
export function sourceLabels({ userName, host, path }: Partial<SnapshotSource>): Labels {
  return {
    type: 'snapshot',
    ...(host !== undefined && { hostname: host }),
    ...(userName !== undefined && { username: userName }),
    ...(path !== undefined && { path }),
  };
}
