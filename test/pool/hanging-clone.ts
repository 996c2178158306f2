/** A clone that takes until somebody lets it: its files lie on a file system that is frozen. */
import { open, readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../kernel/loop-device.ts';
import { mountedFileSystem } from '../support/file-system.ts';

export interface HangingClone extends AsyncDisposable {
  readonly folder: string;
  /** From here on clones are made. */
  letGo(): void;
}

export async function hangingClone(): Promise<HangingClone> {
  const mounted = await mountedFileSystem('xfs', 0);
  for (const name of ['from', 'to']) await writeFile(join(mounted.path, name), name === 'from' ? 'text' : '');
  run('fsfreeze', '-f', mounted.path);
  const letGo = (): void => void spawnSync('fsfreeze', ['-u', mounted.path]);
  return {
    folder: mounted.path,
    letGo,
    async [Symbol.asyncDispose]() {
      letGo();
      while (await isOpen(mounted.path)) await sleep(20);
      await mounted[Symbol.asyncDispose]();
    },
  };
}

/** Whether some process, such as a guard that ends only now, has a file below `folder` open. */
async function isOpen(folder: string): Promise<boolean> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  for (const pid of processes) {
    const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const name of names) {
      const target = await readlink(`/proc/${pid}/fd/${name}`).catch(() => '');
      if (target.startsWith(`${folder}/`)) return true;
    }
  }
  return false;
}

/** Its two files. */
export async function openClone(
  folder: string,
): Promise<AsyncDisposable & { readonly fromFd: number; readonly toFd: number }> {
  const from = await open(join(folder, 'from'), 'r');
  const to = await open(join(folder, 'to'), 'r+');
  return {
    fromFd: from.fd,
    toFd: to.fd,
    async [Symbol.asyncDispose]() {
      await from.close();
      await to.close();
    },
  };
}
