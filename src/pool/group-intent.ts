/**
 * Snapshots of several volumes that become visible together. When all of them are durable in `staging`, one small file
 * says where each belongs: that is the decision. From then on they are put in place, by us or by the next process that
 * changes the pool. Before it none of them exists.
 */
import { readFileSync } from 'node:fs';
import { stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { renameNew } from '../kernel/sys.ts';
import { atomicWrite, isErrno } from '../std/atomic-write.ts';
import type { Rng } from '../std/rng.ts';
import { parseSchema, plainObject } from '../std/schema.ts';
import { PoolError } from './pool-error.ts';
import type { PoolLayout } from './pool-layout.ts';
import { isPoolName } from './pool-names.ts';
import { syncMoved } from './sync-moved.ts';

export const groupPrefix = 'group-';

/** Whether a name in `staging` is that of a decision. */
export function isGroup(name: string): boolean {
  return name.startsWith(groupPrefix) && name.endsWith('.json');
}

const poolName = v.pipe(v.string(), v.check(isPoolName, 'no name of a pool'));
const schema = plainObject({
  members: v.array(
    v.object({ staged: v.pipe(v.string(), v.regex(/^new-[0-9a-f]+$/)), volume: poolName, snapshot: poolName }),
  ),
});

interface MendOption {
  /** Somebody has asked that what is in the way be dealt with. */
  readonly mend: boolean;
}

export interface GroupMember {
  /** Name of its folder in `staging`. */
  readonly staged: string;
  readonly volume: string;
  readonly snapshot: string;
}

/** Decides: when this has resolved the group exists. `completeGroup` with the name that is returned comes next. */
export async function decideGroup(
  layout: PoolLayout,
  { id, members, rng, signal }: { id: string; members: readonly GroupMember[]; rng: Rng; signal: AbortSignal },
): Promise<string> {
  const name = `${groupPrefix}${id}.json`;
  await atomicWrite(join(layout.staging, name), Buffer.from(JSON.stringify({ members })), { rng, signal });
  return name;
}

/**
 * Puts in place what is not yet; twice is as good as once. With `mend`, what was taken of a volume that is gone is left in
 * `staging`.
 * @returns the volumes that are gone
 * @throws {PoolError} `pool-damaged` when it cannot be read, and without `mend` when a volume is gone; `pool-io`
 */
export async function completeGroup(
  layout: PoolLayout,
  name: string,
  { mend }: MendOption,
): Promise<readonly string[]> {
  const path = join(layout.staging, name);
  const gone: string[] = [];
  for (const { staged, volume, snapshot } of readMembers(path)) {
    const [from, to] = [join(layout.staging, staged), layout.snapshot(volume, snapshot)];
    if (!(await isThere(from))) continue;
    if (!(await isThere(dirname(to)))) {
      gone.push(volume);
      if (mend) continue;
      throw new PoolError('pool-damaged', `${path} puts a snapshot in volume ${volume}, which is gone`);
    }
    await renameNew(from, to).catch((error: unknown) => {
      throw new PoolError('pool-io', `put snapshot ${volume}@${snapshot} of a group in its place`, { cause: error });
    });
    await syncMoved(dirname(to));
  }
  await unlink(path);
  return gone;
}

/** What is not there was put in its place before. A look that fails must not pass for that: the decision goes at the end. */
async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw new PoolError('pool-io', `look at ${path}`, { cause: error });
  }
}

/** @throws {PoolError} `pool-damaged` when it makes no sense; `pool-io` */
export function readMembers(path: string): readonly GroupMember[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new PoolError('pool-io', `read ${path}`, { cause: error });
  }
  try {
    return parseSchema(schema, JSON.parse(text)).members;
  } catch (error) {
    throw new PoolError('pool-damaged', `${path} cannot be read`, { cause: error });
  }
}
