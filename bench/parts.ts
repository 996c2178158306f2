/**
 * The parts of backup and restore, each measured alone: on one core, which gives the CPU seconds that the limit is made
 * of, and on all of them, which gives the rates of the devices.
 */
import { once } from 'node:events';
import { readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import { attachDevice, devicesMissing } from './devices.ts';
import { packBytes, type PartName, type PartTask, sampleBytes } from './part-task.ts';
import { median } from './samples.ts';
import { settle, warm, type Workspace } from './workspace.ts';

/** Medians. Rates in 10^9 bytes a second, of what the part handles; CPU seconds per 10^9 bytes of it. */
export interface PartResult {
  readonly part: PartName;
  readonly oneCore: PartRate;
  readonly allCores: PartRate;
}

export interface PartRate {
  readonly gigabytesPerSecond: number;
  readonly cpuSecondsPerGigabyte: number;
}

export interface PartsOptions {
  readonly image: string;
  readonly sizeBytes: number;
  /** A folder of packs as a backup has left them. */
  readonly packs: string;
  readonly signal: AbortSignal;
}

const parts: readonly PartName[] = [
  'read',
  'read-hash',
  'store',
  'write-packs',
  'read-packs',
  'open',
  'write-image',
  'write-device',
];

/** Once on one core and once on all. */
export async function measureParts(workspace: Workspace, options: PartsOptions): Promise<PartResult[]> {
  const threads = availableParallelism();
  await using workers = new AsyncDisposableStack();
  const all = Array.from({ length: threads }, (_, thread) => {
    const worker = new Worker(new URL('./part-worker.ts', import.meta.url), { workerData: { thread } });
    workers.defer(async () => void (await worker.terminate()));
    return worker;
  });
  const files = await filesIn(options.packs);
  const context: Context = { workspace, options, files };
  await Promise.all(all.map(async (worker) => await ask(worker, task(context, 'load'))));
  await warm(options.image);
  await warm(options.packs);
  const results: PartResult[] = [];
  for (const part of parts) {
    if (part === 'write-device' && devicesMissing() !== undefined) continue;
    await measurePart(context, part, all); // The first time allocates and compiles.
    options.signal.throwIfAborted();
    const oneCore = await measurePart(context, part, all.slice(0, 1));
    const result = { part, oneCore, allCores: await measurePart(context, part, all) };
    console.log(
      `${`part ${part}`.padEnd(40)} ${result.oneCore.gigabytesPerSecond.toFixed(2)} GB/s on one core, ` +
        `${result.allCores.gigabytesPerSecond.toFixed(2)} on all, ${result.oneCore.cpuSecondsPerGigabyte.toFixed(3)} cpu-s/GB`,
    );
    results.push(result);
  }
  return results;
}

/** Each part's medians over the rounds: the rates of a shared disk change from minute to minute. */
export function medianParts(measured: readonly (readonly PartResult[])[]): PartResult[] {
  return parts.flatMap((part) => {
    const results = measured.flat().filter((result) => result.part === part);
    if (results.length === 0) return [];
    const oneCore = medianRate(results.map((result) => result.oneCore));
    return [{ part, oneCore, allCores: medianRate(results.map((result) => result.allCores)) }];
  });
}

interface Context {
  readonly workspace: Workspace;
  readonly options: PartsOptions;
  readonly files: readonly string[];
}

/** The first quarter of the image for one core, all of it for all: the device must have something to do. */
async function measurePart(context: Context, part: PartName, workers: readonly Worker[]): Promise<PartRate> {
  const { workspace, options, files } = context;
  const unit = part === 'write-packs' ? packBytes : sampleBytes;
  const shareBytes = Math.floor(options.sizeBytes / 4 / workers.length / unit) * unit * (workers.length > 1 ? 4 : 1);
  const target = workspace.path('part-image');
  if (part === 'write-image') {
    await workspace.remove('part-image');
    await writeFile(target, '');
    await truncate(target, options.sizeBytes);
  }
  // A new one each time, as for a restore: writing where something was written before is twice as fast.
  await using device =
    part === 'write-device' ? await attachDevice(workspace, 'device.img', options.sizeBytes) : undefined;
  settle();
  const tasks = workers.map((_, thread) => ({
    ...task(context, part),
    image: device?.path ?? (part === 'write-image' ? target : options.image),
    files: files.filter((_file, at) => at % workers.length === thread),
    offset: thread * shareBytes,
    lengthBytes: shareBytes,
  }));
  const cpu = process.cpuUsage();
  const started = performance.now();
  await Promise.all(workers.map(async (worker, thread) => await ask(worker, tasks[thread]!)));
  const wallSeconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await workspace.remove('part-image');
  const gigabytes = (part === 'read-packs' ? await bytesOf(files) : shareBytes * workers.length) / 1e9;
  return { gigabytesPerSecond: gigabytes / wallSeconds, cpuSecondsPerGigabyte: (user + system) / 1e6 / gigabytes };
}

async function bytesOf(files: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const file of files) bytes += (await stat(file)).size;
  return bytes;
}

function task({ workspace, options }: Context, part: PartTask['part']): PartTask {
  return { part, image: options.image, files: [], folder: workspace.folder, offset: 0, lengthBytes: 0 };
}

async function ask(worker: Worker, message: PartTask): Promise<void> {
  const answer = once(worker, 'message');
  worker.postMessage(message);
  await answer;
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}

function medianRate(rates: readonly PartRate[]): PartRate {
  return {
    gigabytesPerSecond: median(rates.map((rate) => rate.gigabytesPerSecond)),
    cpuSecondsPerGigabyte: median(rates.map((rate) => rate.cpuSecondsPerGigabyte)),
  };
}
