/**
 * The mounts of all mount namespaces that this process may see: its own, the host's, and those of other processes, such as
 * a container's. Processes come and go while one looks: one that has ended, or that is not shown to us, is passed over.
 * A namespace in which no process is left, kept by a file alone, is not found.
 */
import { readlinkSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { type Mount, parseMountinfo } from './mountinfo.ts';

export interface MountView {
  /** Leads from this process to what the mount points are relative to: empty for its own. */
  readonly root: string;
  /** For a message, after a mount point: whose it is, where that is neither this process nor the host. What a process is called is its own choice. */
  readonly whose: string;
  readonly mounts: readonly Mount[];
}

export const hostRoot = '/proc/1/root';

/** Of one moment: each is looked at once, when first asked for. */
export class MountViews {
  #near: Promise<readonly MountView[]> | undefined;
  #far: Promise<readonly MountView[]> | undefined;

  /**
   * What this process has mounted and, where it may be read, the host (of whom only what this process has not). Costs two
   * files.
   */
  async near(): Promise<readonly MountView[]> {
    return await (this.#near ??= nearViews());
  }

  /**
   * What others have mounted: one process of each namespace, or several where they have different roots, because none is told
   * what lies outside of its own. Looks at every process.
   */
  async far(): Promise<readonly MountView[]> {
    return await (this.#far ??= farViews());
  }
}

async function nearViews(): Promise<readonly MountView[]> {
  const own = await mountsOf('self');
  const ids = new Set(own.map(({ id }) => id));
  const host = (await mountsOf('1')).filter(({ id }) => !ids.has(id));
  return [
    { root: '', whose: '', mounts: own },
    { root: hostRoot, whose: '', mounts: host },
  ];
}

async function farViews(): Promise<readonly MountView[]> {
  const seen = new Set([viewOf('self'), viewOf('1'), undefined]);
  const views: MountView[] = [];
  for (const pid of await processes()) {
    const view = viewOf(pid);
    if (seen.has(view)) continue;
    const mounts = await mountsOf(pid);
    // It may have ended meanwhile: then the next one of its namespace is asked.
    if (mounts.length === 0) continue;
    seen.add(view);
    const name = (await readText(`/proc/${pid}/comm`)).replace(/\n$/, '');
    views.push({ root: `/proc/${pid}/root`, whose: ` in the mount namespace of process ${pid} (${name})`, mounts });
  }
  return views;
}

/** In order of their numbers: who came first is often who stays. */
export async function processes(): Promise<string[]> {
  const names = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  return names.sort((one, other) => Number(one) - Number(other));
}

/**
 * What tells the namespace and root of a process from those of others; undefined for one that is gone or not for us. Links
 * of /proc are read at once, from memory: nothing is waited for, also where a root is on a dead server.
 */
export function viewOf(process: string): string | undefined {
  try {
    return `${readlinkSync(`/proc/${process}/ns/mnt`)} ${readlinkSync(`/proc/${process}/root`)}`;
  } catch {
    return undefined;
  }
}

async function mountsOf(process: string): Promise<Mount[]> {
  return parseMountinfo(await readText(`/proc/${process}/mountinfo`));
}

async function readText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}
