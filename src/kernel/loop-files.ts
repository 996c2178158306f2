/** Which loop devices there are, and the names of their files, as /sys tells: for reading that needs no privilege. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';

/** Those that are attached, such as `loop0`. Throws the system's error without /sys. */
export async function attachedLoopNames(): Promise<string[]> {
  return (await readdir('/sys/block')).filter((name) => name.startsWith('loop') && isLoopAttached(name));
}

export function isLoopAttached(name: string): boolean {
  return existsSync(backingFile(name));
}

/** The name that the kernel has for the file of a device; undefined for one that is attached to nothing. */
export async function fileNameOfLoop(name: string): Promise<string | undefined> {
  const named = await readFile(backingFile(name), 'utf8').catch(() => undefined);
  return named?.replace(/\n$/, '');
}

function backingFile(name: string): string {
  return `/sys/block/${name}/loop/backing_file`;
}
