/** What the program makes of a damaged repository, with nothing remembered: every snapshot read, every blob verified. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { causesOf, exitCodeOf } from '../../src/cli/shell/exit-code.ts';
import { openFormat } from '../../src/repository/format/format-store.ts';
import { listSnapshots } from '../../src/repository/manifest/snapshot.ts';
import { readObject } from '../../src/repository/object/object-reader.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { DrayError } from '../../src/std/dray-error.ts';
import { openVolumeSnapshot } from '../../src/transfer/backup-parent.ts';
import { openStore, problemsOf, withRepository, type Engine } from '../support/engine.ts';
import { digestOf, type DamageWorld } from './damage-world.ts';

export interface Refusal {
  readonly code: string;
  readonly exitCode: number;
  readonly message: string;
}

export interface Examined {
  /** Set when nothing at all can be done with it. */
  readonly refused?: Refusal;
  /** It seems to hold no snapshots. */
  readonly empty?: boolean;
  /** What `verify --level data` says; empty when it calls the repository whole. */
  readonly problems: readonly string[];
  /** The snapshots that cannot be read, with the reason. All others came back equal. */
  readonly unreadable: ReadonlyMap<string, Refusal>;
}

const signal = new AbortController().signal;
const volumeBytesMax = 16 * 1024 * 1024;
let runs = 0;

/** @throws when a snapshot reads as anything else than what was backed up, or something fails that is no DrayError */
export async function examine(
  world: DamageWorld,
  { format = 'known', verify = true }: { readonly format?: 'known' | 'reopened'; readonly verify?: boolean } = {},
): Promise<Examined> {
  const cache = join(world.folder, `cache-${++runs}`);
  const unreadable = new Map<string, Refusal>();
  try {
    const engine = await engineOf(world, cache, format);
    const found = await readAll(world, engine, unreadable);
    return { empty: found === 0, problems: verify ? await problemsOf(engine) : [], unreadable };
  } catch (error) {
    return { refused: refusalOf(error), problems: [], unreadable };
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

async function engineOf({ engine }: DamageWorld, cache: string, format: 'known' | 'reopened'): Promise<Engine> {
  if (format === 'known') return { ...engine, cache };
  await using store = await openStore(engine);
  return { ...engine, cache, opened: await openFormat(store, { password: 'password', clock, signal }) };
}

async function readAll(world: DamageWorld, engine: Engine, unreadable: Map<string, Refusal>): Promise<number> {
  return await withRepository(engine, async (repository) => {
    const { snapshots, damaged } = listSnapshots(await repository.manifests.load({ signal }));
    const found = snapshots.length + damaged.length;
    if (found !== 0 && found !== world.digests.size) throw new Error('a snapshot has vanished');
    for (const snapshot of snapshots) {
      try {
        const { object, sizeBytes } = await openVolumeSnapshot(repository, snapshot, { signal });
        const bytes = await readObject(repository, object, { maxBytes: volumeBytesMax, signal });
        const equal = digestOf(bytes.subarray(0, sizeBytes)) === world.digests.get(snapshot.id);
        if (!equal) throw new Error(`wrong bytes were delivered of ${snapshot.id}`);
      } catch (error) {
        unreadable.set(snapshot.id, refusalOf(error));
      }
    }
    return found;
  });
}

function refusalOf(error: unknown): Refusal {
  if (!(error instanceof DrayError)) throw error;
  const chain = causesOf(error).map((link) => (link instanceof Error ? link.message : String(link)));
  return { code: String(error.code), exitCode: exitCodeOf(error), message: chain.join(': ') };
}
