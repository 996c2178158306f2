/** What is left in `staging` that nobody alive needs, found without touching it, and without the pool's lock. */
import { accessSync, constants, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../std/atomic-write.ts';
import { toError } from '../std/to-error.ts';
import type { Finding } from './find-faults.ts';
import { whyMarkStays } from './frozen-mark.ts';
import { isGroup } from './group-intent.ts';
import { namesIn, type Pool } from './pool.ts';
import { isFreezing, isHeld, isLeft, type Leftovers, type StuckLeftover } from './recover-staging.ts';

export interface FoundLeftovers {
  /** What the next change of the pool removes, or completes. What somebody else is making at this moment is among it. */
  readonly removable: readonly string[];
  readonly held: Leftovers['held'];
  readonly stuck: readonly StuckLeftover[];
}

export async function findLeftovers(pool: Pool, { signal }: { readonly signal: AbortSignal }): Promise<FoundLeftovers> {
  const { layout, clock } = pool;
  const device = lstatSync(layout.staging, { throwIfNoEntry: false })?.dev;
  const found = { removable: [] as string[], held: [] as string[], stuck: [] as StuckLeftover[] };
  for (const name of namesIn(layout.staging).filter(isLeft)) {
    const path = join(layout.staging, name);
    if (await isHeld(layout, name, { clock, signal })) {
      found.held.push(name);
      continue;
    }
    const reason = isFreezing(name)
      ? await whyMarkStays(path, { signal })
      : isGroup(name)
        ? undefined
        : whatKeeps(path, device);
    if (reason === undefined) found.removable.push(name);
    else found.stuck.push({ name, reason });
  }
  return found;
}

/** What is told of leftovers that stay. */
export function leftoverFindings({ layout }: Pool, stuck: readonly StuckLeftover[]): Finding[] {
  return stuck.map(({ name, reason }): Finding => {
    const path = join(layout.staging, name);
    const rest = { what: name, path, remedy: 'hand' } as const;
    return isFreezing(name)
      ? { kind: 'frozen', ...rest, message: `a killed snapshot may have left a file system frozen: ${reason}` }
      : { kind: 'leftover', ...rest, message: `${path} cannot be removed: ${reason}` };
  });
}

/** Why something could not be removed, as far as that shows without trying; undefined where nothing speaks against it. */
function whatKeeps(path: string, device: number | undefined): string | undefined {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined || !(found.isDirectory() || found.isFile())) return undefined;
    if (found.dev !== device) return `something is mounted on ${path}`;
    // Refused even to root for what is immutable (`chattr +i`), or on a file system that is read-only by now.
    accessSync(path, constants.W_OK);
    if (!found.isDirectory()) return undefined;
    for (const name of readdirSync(path)) {
      const reason = whatKeeps(join(path, name), device);
      if (reason !== undefined) return reason;
    }
    return undefined;
  } catch (error) {
    return isErrno(error, 'ENOENT') ? undefined : toError(error).message;
  }
}
