/** The machine as a reader of the results must know it, without its name. */
import { readFileSync } from 'node:fs';
import { readFile, statfs } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';

/** Label and text. */
export type MachineFact = readonly [label: string, text: string];

export async function describeMachine(folder: string): Promise<MachineFact[]> {
  return [
    ['Processor', `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores visible`],
    ['Virtual', virtualization()],
    ['Memory', `${(totalmem() / 2 ** 30).toFixed(0)} GiB`],
    ['Kernel', `Linux ${release()}`],
    ['System', (await fact('/etc/os-release', /^PRETTY_NAME="?([^"\n]*)/m)) ?? 'unknown'],
    ['Filesystem', `${await filesystemOf(folder)}, ${await freeOf(folder)} free`],
    ['Node', process.version],
    ['Load before', loadavg()[0]!.toFixed(2)],
  ];
}

/** Processes that ran beside the measurements make them worth less; the results say so. */
export function loadNow(): number {
  return loadavg()[0]!;
}

function virtualization(): string {
  try {
    return /^flags\s*:.*\bhypervisor\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')) ? 'virtual machine' : 'no';
  } catch {
    return 'unknown';
  }
}

async function freeOf(folder: string): Promise<string> {
  const { bavail, bsize } = await statfs(folder);
  return `${((bavail * bsize) / 1e9).toFixed(0)} GB`;
}

async function filesystemOf(folder: string): Promise<string> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  const under = mounts.filter(
    ([, point]) => point !== undefined && `${folder}/`.startsWith(point.replace(/\/?$/, '/')),
  );
  const nearest = under.toSorted((a, b) => b[1]!.length - a[1]!.length)[0];
  return nearest?.[2] ?? 'unknown';
}

async function fact(path: string, pattern: RegExp): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return pattern.exec(text)?.[1];
}
