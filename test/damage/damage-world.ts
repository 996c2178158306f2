/** A small repository with one of every kind of blob, and what each byte of it is for. */
import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { blobId } from '../../src/blobs/blob-store.ts';
import { shardsFile } from '../../src/blobs/directory/shards.ts';
import { decodePostamble } from '../../src/repository/content/pack-format.ts';
import { maintenanceBlobId, sealMaintenance } from '../../src/repository/format/maintenance-blob.ts';
import { systemRng } from '../../src/std/rng.ts';
import { blobFiles } from '../fixtures/open-fixture.ts';
import { backupFile, createEngine, openStore, withRepository, type Engine } from '../support/engine.ts';
import { writeVolume } from '../support/volume-model.ts';

const kib = 1024;
const signal = new AbortController().signal;
const sizes = [
  1,
  4095,
  4096,
  4097,
  9 * kib,
  20 * kib,
  20 * kib + 1,
  33 * kib,
  300 * kib,
  1024 * kib + 4097,
  3072 * kib,
];

export interface DamageWorld {
  readonly engine: Engine;
  readonly folder: string;
  /** SHA-256 of each snapshot's volume. */
  readonly digests: ReadonlyMap<string, string>;
  /** The file of each blob. */
  readonly files: ReadonlyMap<string, string>;
  readonly packs: readonly PackMap[];
}

/** What the bytes of a pack are. */
export interface PackMap {
  readonly blob: string;
  /** Whose backup wrote it. */
  readonly snapshot: string;
  readonly lengthBytes: number;
  readonly contents: readonly { readonly id: string; readonly offset: number; readonly lengthBytes: number }[];
  readonly localIndex: { readonly offset: number; readonly lengthBytes: number };
}

export type PackRegion = 'preamble' | 'content' | 'padding' | 'local index' | 'postamble';

/** Volumes of several sizes, each a snapshot with packs of its own, a session that never ended, and a schedule. */
export async function makeDamageWorld(folder: string): Promise<DamageWorld> {
  const engine = await createEngine(folder);
  const digests = new Map<string, string>();
  const owners = new Map<string, string>();
  for (const [index, sizeBytes] of sizes.entries()) {
    const path = join(folder, `volume-${index}`);
    const kind = index % 2 === 0 ? 'random' : 'text';
    await writeVolume(path, { sizeBytes, pieces: [{ offset: 0, lengthBytes: sizeBytes, kind, seed: index }] });
    const { snapshot } = await backupFile(engine, path, { parallel: 1 });
    digests.set(snapshot, digestOf(await readFile(path)));
    for (const blob of (await blobFiles(engine.path)).keys()) if (!owners.has(blob)) owners.set(blob, snapshot);
  }
  const packs = await withRepository(engine, async (repository) => {
    // A crash leaves this: a writer that was begun and never finished.
    const writer = await repository.writer({ userName: 'gone', host: 'elsewhere' }, { signal });
    await writer[Symbol.asyncDispose]();
    const schedule = sealMaintenance(engine.opened, '{"nextFullMaintenance":"2030-01-01T00:00:00Z"}', systemRng);
    await repository.store.put(maintenanceBlobId, schedule, { signal });
    return Map.groupBy(repository.index.entries(), ({ packBlob }) => packBlob);
  });
  const files = new Map(await blobFiles(engine.path)).set(shardsFile, join(engine.path, shardsFile));
  const maps: PackMap[] = [];
  await using store = await openStore(engine);
  for (const [blob, entries] of packs) {
    const bytes = await store.get(blobId(blob), { signal });
    const { offset, lengthBytes } = decodePostamble(bytes);
    const contents = entries.map(({ contentId, packOffset, packedLength }) => ({
      id: contentId,
      offset: packOffset,
      lengthBytes: packedLength,
    }));
    maps.push({
      blob,
      snapshot: owners.get(blob)!,
      lengthBytes: bytes.length,
      contents,
      localIndex: { offset, lengthBytes },
    });
  }
  return { engine, folder, digests, files, packs: maps };
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function regionOf({ contents, localIndex }: PackMap, offset: number): PackRegion {
  if (offset < 32) return 'preamble';
  if (contents.some((content) => offset >= content.offset && offset < content.offset + content.lengthBytes)) {
    return 'content';
  }
  if (offset < localIndex.offset) return 'padding';
  return offset < localIndex.offset + localIndex.lengthBytes ? 'local index' : 'postamble';
}

export interface Flip {
  readonly blob: string;
  readonly offset: number;
  /** The bits that are turned over: 1 to 255. */
  readonly mask: number;
}

/** Turns bits over on the disk, as long as `work` takes. */
export async function withFlips<T>(
  { files }: Pick<DamageWorld, 'files'>,
  flips: readonly Flip[],
  work: () => Promise<T>,
): Promise<T> {
  for (const flip of flips) await turn(files, flip);
  try {
    return await work();
  } finally {
    for (const flip of flips) await turn(files, flip);
  }
}

async function turn(files: ReadonlyMap<string, string>, { blob, offset, mask }: Flip): Promise<void> {
  await using file = await open(files.get(blob)!, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0]! ^= mask;
  await file.write(byte, 0, 1, offset);
}
