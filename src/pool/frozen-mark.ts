/**
 * What is about to be frozen, written down before. The guard of a freeze thaws when we are killed; but a container that
 * ends as a whole takes the guard along, and what it had frozen would stay so for ever. Whoever changes the pool
 * next finds the mark, and thaws, wherever a process still has it mounted; what he cannot thaw stays marked, and `dray pool
 * check` names it. A mark from before the last boot says nothing: a freeze does not outlive the kernel.
 */
import { readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { thawFileSystem } from '../kernel/freeze.ts';
import { areExpedited, endExpedited } from '../kernel/grace-periods.ts';
import { usesOfNumber } from '../kernel/device-uses.ts';
import { MountViews } from '../kernel/mount-namespaces.ts';
import { mountsOfDevice, openMount, type ReachableMount } from '../kernel/mounts.ts';
import { atomicWrite } from '../std/atomic-write.ts';
import { randomHex } from '../std/rng.ts';
import { parseSchema } from '../std/schema.ts';
import { toError } from '../std/to-error.ts';
import type { Pool } from './pool.ts';

export const freezingPrefix = 'freezing-';

interface SignalOption {
  readonly signal: AbortSignal;
}

const schema = v.object({ boot: v.string(), devices: v.array(v.string()), expedited: v.boolean() });

/** `devices`: of the file systems, as `major:minor`. Durable when resolved; to be disposed of when all is thawed. */
export async function markFrozen(
  pool: Pool,
  devices: readonly string[],
  { signal }: SignalOption,
): Promise<AsyncDisposable> {
  const path = join(pool.layout.staging, `${freezingPrefix}${randomHex(pool.rng, 8)}.json`);
  const bytes = Buffer.from(JSON.stringify({ boot: await bootId(), devices, expedited: areExpedited() }));
  await atomicWrite(path, bytes, { rng: pool.rng, signal });
  return { [Symbol.asyncDispose]: async () => await unlink(path) };
}

/**
 * Thaws what a mark names, where it is still frozen. A mark stays while that can be wanted: a file system that no path leads
 * to cannot be thawed, and nobody else knows of it.
 * @returns why it has to stay; undefined when it is the caller's to remove
 */
export async function thawMarked(path: string, options: SignalOption): Promise<string | undefined> {
  const mark = await readMark(path);
  if (mark === undefined) return undefined;
  const reasons: string[] = [];
  for (const device of mark.devices) {
    const reason = await whyFrozen(device, thawAt, options);
    if (reason !== undefined) reasons.push(reason);
  }
  if (!mark.expedited) endExpedited();
  return reasons[0];
}

/** As `thawMarked` would tell, as far as that shows without touching anything. */
export async function whyMarkStays(path: string, options: SignalOption): Promise<string | undefined> {
  for (const device of (await readMark(path))?.devices ?? []) {
    const reason = await whyFrozen(device, async () => await Promise.resolve(undefined), options);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/**
 * Why the file system of a device may stay frozen: what `thaw` says of it or, where no path leads to it and the device is in use,
 * that it cannot be got at. One that was unmounted frozen keeps its device claimed.
 */
async function whyFrozen(
  device: string,
  thaw: (mount: ReachableMount) => Promise<string | undefined>,
  options: SignalOption,
): Promise<string | undefined> {
  const views = new MountViews();
  const [mount] = await mountsOfDevice(device, views);
  if (mount !== undefined) return await thaw(mount);
  const [use] = await usesOfNumber(device, { ...options, views });
  return use === undefined ? undefined : `${use.reason}, where nothing leads to it`;
}

/** @returns why it failed */
async function thawAt(mount: ReachableMount): Promise<string | undefined> {
  const { reachablePath } = mount;
  try {
    await using folder = await openMount(mount);
    if (folder === undefined) return `thaw ${reachablePath}: it was unmounted meanwhile`;
    await thawFileSystem(folder.fd);
    return undefined;
  } catch (error) {
    return `thaw ${reachablePath}: ${toError(error).message}`;
  }
}

/** undefined for one of another boot, and for one that makes no sense: it was never whole, so nothing was frozen after it. */
async function readMark(path: string): Promise<v.InferOutput<typeof schema> | undefined> {
  const mark = parseMark(await readFile(path, 'utf8'));
  return mark?.boot === (await bootId()) ? mark : undefined;
}

function parseMark(text: string): v.InferOutput<typeof schema> | undefined {
  try {
    return parseSchema(schema, JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
