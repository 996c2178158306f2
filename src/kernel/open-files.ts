/**
 * Who keeps a file system from being unmounted: the processes that have something on it open, or stand in it, in whatever
 * mount namespace. For messages: only names are compared, what a process has mapped and closed is not seen, nor are processes
 * that are not for us.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { processes, viewOf } from './mount-namespaces.ts';
import { parseMountinfo } from './mountinfo.ts';

export interface FileHolder {
  /** For a message: `process 4711 (bash)`. What a process is called is its own choice. */
  readonly process: string;
  /** One of what it has open, as it is named where that process lives. */
  readonly path: string;
}

/** Those of the file system of this device (`major:minor`). Looks at every process. */
export async function holdersOfFileSystem(number: string): Promise<readonly FileHolder[]> {
  const known = new Map<string, readonly string[]>();
  const holders: FileHolder[] = [];
  for (const pid of await processes()) {
    const view = viewOf(pid);
    if (view === undefined) continue;
    const places = known.get(view) ?? placesOf(pid, number);
    known.set(view, places);
    const path = places.length === 0 ? undefined : openBelow(pid, places);
    if (path === undefined) continue;
    const name = readText(`/proc/${pid}/comm`).replace(/\n$/, '');
    holders.push({ process: `process ${pid} (${name})`, path });
  }
  return holders;
}

function placesOf(pid: string, number: string): readonly string[] {
  const mounts = parseMountinfo(readText(`/proc/${pid}/mountinfo`));
  return mounts.flatMap(({ device, mountPoint }) => (device === number ? [mountPoint] : []));
}

function openBelow(pid: string, places: readonly string[]): string | undefined {
  const links = ['cwd', 'root', 'exe', ...namesIn(`/proc/${pid}/fd`).map((name) => `fd/${name}`)];
  for (const link of links) {
    const path = readLink(`/proc/${pid}/${link}`);
    if (places.some((place) => `${path}/`.startsWith(`${place}/`))) return path;
  }
  return undefined;
}

/** Links and lists of /proc are read at once, from memory, also where they lead to a dead server. */
function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
