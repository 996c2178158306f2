/** A store whose bytes follow from their place, and a program that reads it through a cache that it shares with others. */
import assert from 'node:assert/strict';
import { argv } from 'node:process';

import { systemClock } from '../std/clock.ts';
import { type Rng, seededRng } from '../std/rng.ts';
import { blobId } from './blob-store.ts';
import { CacheFile } from './cache-file.ts';
import { CacheStore } from './cache.ts';
import { MemoryStore } from './memory-store.ts';

const packLengthBytes = 2 * 1024 * 1024;
const { signal } = new AbortController();

export const packs: readonly string[] = ['q0', 'q1', 'p2'];

const contents = packs.map((_, pack) => Buffer.from(seededRng(100 + pack).bytes(packLengthBytes)));

export function packBytes(pack: number): Buffer {
  return contents[pack]!;
}

export async function cachedStored(): Promise<MemoryStore> {
  const memory = new MemoryStore({ clock: systemClock });
  for (const [pack, name] of packs.entries()) await memory.put(blobId(name), packBytes(pack), { signal });
  return memory;
}

export const below = (rng: Rng, limit: number): number => Math.floor(rng.uniform() * limit);

async function readForLong(path: string, seed: number): Promise<void> {
  const rng = seededRng(seed);
  const file = await CacheFile.open({ path, sizeBytes: 1024 * 1024, clock: systemClock });
  assert.ok(file !== undefined);
  await using store = new CacheStore({ store: await cachedStored(), file }, { prefixes: ['q'], scope: 'a' });
  const readOne = async (): Promise<void> => {
    const pack = below(rng, 2);
    const [offset, lengthBytes] =
      below(rng, 2) === 0 ? [below(rng, 64) * 1000, 3000] : [below(rng, 1000), 1 + below(rng, 9000)];
    const bytes = await store.get(blobId(packs[pack]!), { range: { offset, lengthBytes }, signal });
    assert.ok(
      packBytes(pack)
        .subarray(offset, offset + lengthBytes)
        .equals(bytes),
    );
  };
  for (let round = 0; round < 300; round += 1) await Promise.all(Array.from({ length: 8 }, readOne));
}

if (argv[1] === import.meta.filename) await readForLong(argv[2] ?? '', Number(argv[3]));
