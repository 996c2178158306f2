/**
 * What is about to be frozen, written down before. The guard of a freeze thaws when we are killed; but a container that
 * ends as a whole takes the guard along, and what it had frozen would stay so for ever. Whoever changes the pool
 * next finds the mark, and thaws. A mark from before the last boot says nothing: a freeze does not outlive the kernel.
 */
import { constants } from 'node:fs';
import { open, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { thawFileSystem } from '../kernel/freeze.ts';
import { areExpedited, endExpedited } from '../kernel/grace-periods.ts';
import { mountsOfDevice } from '../kernel/mounts.ts';
import { atomicWrite } from '../std/atomic-write.ts';
import { randomHex } from '../std/rng.ts';
import type { Pool } from './pool.ts';

export const freezingPrefix = 'freezing-';

const schema = z.object({ boot: z.string(), devices: z.array(z.string()), expedited: z.boolean() });

/** `devices`: of the file systems, as `major:minor`. Durable when resolved; to be disposed of when all is thawed. */
export async function markFrozen(
  pool: Pool,
  devices: readonly string[],
  { signal }: { readonly signal: AbortSignal },
): Promise<AsyncDisposable> {
  const path = join(pool.layout.staging, `${freezingPrefix}${randomHex(pool.rng, 8)}.json`);
  const bytes = Buffer.from(JSON.stringify({ boot: await bootId(), devices, expedited: areExpedited() }));
  await atomicWrite(path, bytes, { rng: pool.rng, signal });
  return { [Symbol.asyncDispose]: async () => await unlink(path) };
}

/** Thaws what a mark names, where it is still frozen; the mark is the caller's to remove. */
export async function thawMarked(path: string): Promise<void> {
  const mark = parseMark(await readFile(path, 'utf8'));
  if (mark?.boot !== (await bootId())) return;
  for (const device of mark.devices) {
    const [mount] = await mountsOfDevice(device);
    if (mount === undefined) continue;
    const folder = await open(mount.reachablePath, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await thawFileSystem(folder.fd);
    } finally {
      await folder.close();
    }
  }
  if (!mark.expedited) endExpedited();
}

/** One that makes no sense was never whole, so nothing was frozen after it. */
function parseMark(text: string): z.infer<typeof schema> | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
