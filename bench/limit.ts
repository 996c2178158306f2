/**
 * The limit of a step on this machine: the lowest of its devices' rates, as measured in the same run, and of what the
 * processor can do: cores ÷ the sum of the CPU seconds per GB of its parts, each measured alone on one core. All in 10^9
 * bytes of the volume a second.
 */
import { availableParallelism } from 'node:os';

import type { PartName } from './part-task.ts';
import type { PartResult } from './parts.ts';

export interface Limit {
  readonly step: 'backup' | 'restore to a file' | 'restore to a device';
  readonly gigabytesPerSecond: number;
  /** What is the lowest, and the other terms. */
  readonly terms: readonly (readonly [name: string, gigabytesPerSecond: number])[];
}

/** `storedShare`: bytes in the repository for each byte of the volume. */
export function limitsOf(parts: readonly PartResult[], storedShare: number): Limit[] {
  const backup = limit('backup', [
    ['read the image', rateOf(parts, 'read')],
    ['write packs', rateOf(parts, 'write-packs') / storedShare],
    ['processor', processor([cpuOf(parts, 'read'), cpuOf(parts, 'store'), cpuOf(parts, 'write-packs') * storedShare])],
  ]);
  return [backup, ...(['file', 'device'] as const).flatMap((target) => restoreLimit(parts, storedShare, target))];
}

function restoreLimit(parts: readonly PartResult[], storedShare: number, target: 'file' | 'device'): Limit[] {
  const write: PartName = target === 'file' ? 'write-image' : 'write-device';
  if (!parts.some(({ part }) => part === write)) return [];
  const cpu = [cpuOf(parts, 'read-packs') * storedShare, cpuOf(parts, 'open'), cpuOf(parts, write)];
  return [
    limit(`restore to a ${target}`, [
      ['read packs', rateOf(parts, 'read-packs') / storedShare],
      [`write the ${target}`, rateOf(parts, write)],
      ['processor', processor(cpu)],
    ]),
  ];
}

function limit(step: Limit['step'], terms: Limit['terms']): Limit {
  return { step, gigabytesPerSecond: Math.min(...terms.map(([, rate]) => rate)), terms };
}

function processor(cpuSecondsPerGigabyte: readonly number[]): number {
  return availableParallelism() / cpuSecondsPerGigabyte.reduce((sum, seconds) => sum + seconds, 0);
}

export function rateOf(parts: readonly PartResult[], part: PartName): number {
  return partOf(parts, part).allCores.gigabytesPerSecond;
}

function cpuOf(parts: readonly PartResult[], part: PartName): number {
  return partOf(parts, part).oneCore.cpuSecondsPerGigabyte;
}

function partOf(parts: readonly PartResult[], part: PartName): PartResult {
  const found = parts.find((result) => result.part === part);
  if (found === undefined) throw new Error(`the part ${part} was not measured`);
  return found;
}
