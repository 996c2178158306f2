/**
 * Is everything still there? Three levels, each with what the one before asks: `index`, every content that a snapshot
 * needs is in the index; `present`, its pack is in the store and long enough; `data`, every content is read, opened and
 * hashed, and every pack, index blob and marker is what its own checksums say. Packs are read once, however many
 * snapshots need them; then each snapshot is walked and what it lacks is named.
 */
import type { BlobStoreLocation } from '../blobs/location.ts';
import type { ContentId } from '../repository/content/content-id.ts';
import { decodeSessionMarker } from '../repository/content/session.ts';
import { openMaintenance } from '../repository/format/maintenance-blob.ts';
import type { Snapshot } from '../repository/manifest/snapshot.ts';
import type { Repository } from '../repository/repository.ts';
import type { Rng } from '../std/rng.ts';
import { checkPacks, packLengths, type PacksChecked } from './check-packs.ts';
import { damageOf } from './damage.ts';
import { walkSnapshot, type DamagedPlace } from './snapshot-walk.ts';

export type VerifyLevel = 'index' | 'present' | 'data';

export interface VerifyRequest {
  /** What to walk. */
  readonly snapshots: readonly Snapshot[];
  /** True when only what these snapshots need is to be read, not all of the repository. */
  readonly onlyThese: boolean;
  readonly level: VerifyLevel;
  /** Share of the packs to read, above 0 and at most 1. */
  readonly sample: number;
  readonly store: BlobStoreLocation;
  readonly parallel: number;
  readonly rng: Rng;
  readonly onProgress: (readBytes: number) => void;
  readonly signal: AbortSignal;
}

export interface VerifyResult {
  readonly snapshots: number;
  readonly packs: number;
  readonly contents: number;
  readonly readBytes: number;
  /** What is wrong with blobs, whether or not a snapshot needs them. */
  readonly problems: readonly { readonly what: string; readonly reason: string }[];
  readonly damaged: readonly ({ readonly snapshot: string } & DamagedPlace)[];
}

export async function verify(repository: Repository, request: VerifyRequest): Promise<VerifyResult> {
  const { level, signal } = request;
  const problems: { what: string; reason: string }[] = [];
  const lengths = level === 'index' ? undefined : await packLengths(repository.store, { signal });
  let checked: PacksChecked | undefined;
  if (level === 'data' && lengths !== undefined) {
    await checkBlobs(repository, problems, signal);
    const wanted = request.onlyThese ? await packsOf(repository, request) : undefined;
    const chosen = chooser(request);
    const isChosen = (pack: string): boolean => (wanted?.has(pack) ?? true) && chosen(pack);
    const onProgress = ({ readBytes }: { readonly readBytes: number }): void => request.onProgress(readBytes);
    const { store, parallel } = request;
    checked = await checkPacks(repository, { store, parallel, lengths, isChosen, onProgress, signal });
    for (const { blob, reason } of checked.packProblems) problems.push({ what: `pack ${blob}`, reason });
    for (const [id, reason] of checked.damagedContents) problems.push({ what: `content ${id}`, reason });
  }
  const damaged: ({ snapshot: string } & DamagedPlace)[] = [];
  const faultOf = faultFinder(repository, { lengths, damaged: checked?.damagedContents });
  for (const snapshot of request.snapshots) {
    const onDamage = (place: DamagedPlace): void => void damaged.push({ snapshot: snapshot.id, ...place });
    await walkSnapshot(repository, snapshot, { faultOf, onDamage, signal });
  }
  const { packs = 0, contents = 0, readBytes = 0 } = checked ?? {};
  return { snapshots: request.snapshots.length, packs, contents, readBytes, problems, damaged };
}

/** Why a content cannot be had; the last answers are kept, because holes ask for the same one again and again. */
function faultFinder(
  repository: Repository,
  facts: {
    readonly lengths: ReadonlyMap<string, number> | undefined;
    readonly damaged: ReadonlyMap<ContentId, string> | undefined;
  },
): (id: ContentId) => string | undefined {
  return (id) => {
    const damage = facts.damaged?.get(id);
    if (damage !== undefined) return damage;
    const entry = repository.index.find(id);
    if (entry === undefined) return `no index entry for content ${id}`;
    if (facts.lengths === undefined) return undefined;
    const length = facts.lengths.get(entry.packBlob);
    if (length === undefined) return `pack ${entry.packBlob} is missing`;
    const end = entry.packOffset + entry.packedLength;
    return end <= length ? undefined : `pack ${entry.packBlob} has ${length} bytes, content ${id} ends at ${end}`;
  };
}

/** Index blobs, session markers and the maintenance schedule, as the store has them now: not from any cache. */
async function checkBlobs(
  repository: Repository,
  problems: { what: string; reason: string }[],
  signal: AbortSignal,
): Promise<void> {
  const { store, codec, index, opened } = repository;
  const check = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      problems.push({ what, reason: damageOf(error) });
    }
  };
  for (const id of index.activeBlobs) {
    await check(`index blob ${id}`, async () => codec.openNamed(id, await store.get(id, { signal })));
  }
  for await (const { id } of store.list('s', { signal })) {
    await check(`session marker ${id}`, async () => decodeSessionMarker(codec, id, await store.get(id, { signal })));
  }
  for await (const { id } of store.list('kopia.maintenance', { signal })) {
    await check(`blob ${id}`, async () => openMaintenance(opened, await store.get(id, { signal })));
  }
}

/** The packs that hold what these snapshots need. */
async function packsOf(repository: Repository, { snapshots, signal }: VerifyRequest): Promise<Set<string>> {
  const packs = new Set<string>();
  const faultOf = (id: ContentId): undefined => {
    const entry = repository.index.find(id);
    if (entry !== undefined) packs.add(entry.packBlob);
  };
  for (const snapshot of snapshots) await walkSnapshot(repository, snapshot, { faultOf, onDamage: () => {}, signal });
  for (const entry of repository.index.entries()) {
    // Lists and listings are few, and a damaged one hides what it refers to.
    if (entry.packBlob.startsWith('q')) packs.add(entry.packBlob);
  }
  return packs;
}

/** A different sample each time, so that repeated runs cover everything. */
function chooser({ sample, rng }: VerifyRequest): (pack: string) => boolean {
  if (sample >= 1) return () => true;
  const start = rng.uniform();
  return (pack) => {
    const position = Number.parseInt(pack.slice(1, 9), 16) / 0x1_0000_0000;
    return (position - start + 1) % 1 < sample;
  };
}
