/**
 * Is everything still there? Three levels, each with what the one before asks: `index`, every content that a snapshot
 * needs is in the index; `present`, its pack is in the store and long enough; `data`, every content is read, opened and
 * hashed, and every pack, index blob and marker is what its own checksums say. Packs are read once, however many
 * snapshots need them; then each snapshot is walked and what it lacks is named. Nothing is named before it was looked at
 * a second time, in the repository as it is then (`confirm-damage.ts`).
 */
import type { BlobStoreLocation } from '../blobs/location.ts';
import { ifThere } from '../blobs/if-there.ts';
import type { ContentId } from '../repository/content/content-id.ts';
import { decodeSessionMarker } from '../repository/content/session.ts';
import { openMaintenance } from '../repository/format/maintenance-blob.ts';
import type { Snapshot } from '../repository/manifest/snapshot.ts';
import type { Repository } from '../repository/repository.ts';
import type { Rng } from '../std/rng.ts';
import { checkPacks, packLengths, type PacksChecked } from './check-packs.ts';
import { confirmDamage, type Problem } from './confirm-damage.ts';
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
  readonly problems: readonly Problem[];
  /** What was damaged when it was first read, and whole the second time. */
  readonly wavering: readonly Problem[];
  /** Contents that are damaged, and that error correction still gives whole; with level `data` only. */
  readonly mended: readonly ContentId[];
  readonly damaged: readonly (DamagedPlace & { readonly snapshot: string })[];
  /** What could not be checked, by what this version lacks for it: no damage is known of. */
  readonly unsupported: readonly Unsupported[];
}

export interface Unsupported {
  /** Such as `compression lz4`. */
  readonly what: string;
  /** Contents that were read and not opened; with level `data` only. */
  readonly contents: number;
  /** Directories and lists of snapshots behind which was not looked. */
  readonly lists: number;
}

export async function verify(repository: Repository, request: VerifyRequest): Promise<VerifyResult> {
  const { level, signal } = request;
  const present = level !== 'index';
  const lengths = present ? await packLengths(repository.store, { signal }) : undefined;
  const checked = level === 'data' && lengths !== undefined ? await readPacks(repository, request, lengths) : nothing;
  let blobs = level === 'data' ? await checkBlobs(repository, signal) : [];
  let walked = await walk(repository, request.snapshots, { lengths, contents: checked.damagedContents, signal });
  let problems: readonly Problem[] = [];
  let wavering: readonly Problem[] = [];
  const suspicious =
    blobs.length + checked.packProblems.size + checked.damagedContents.size + walked.damaged.length > 0;
  if (suspicious) {
    const { damagedContents, packProblems } = checked;
    const { snapshots } = request;
    const suspects = { contents: damagedContents, packs: packProblems, snapshots, present };
    const confirmed = await confirmDamage(repository, suspects, { signal });
    if (blobs.length > 0) blobs = await checkBlobs(repository, signal);
    problems = [...blobs, ...confirmed.problems];
    wavering = confirmed.wavering;
    walked = await walk(repository, confirmed.snapshots, { ...confirmed, signal });
  }
  const { packs, contents, readBytes, mended } = checked;
  const unsupported = together(checked.unsupported, walked.unsupported);
  const { damaged } = walked;
  const counts = { snapshots: request.snapshots.length, packs, contents, readBytes };
  return { ...counts, problems, wavering, mended, damaged, unsupported };
}

const nothing: PacksChecked = {
  packs: 0,
  contents: 0,
  readBytes: 0,
  damagedContents: new Map(),
  mended: [],
  unsupported: new Map(),
  packProblems: new Map(),
};

async function readPacks(
  repository: Repository,
  request: VerifyRequest,
  lengths: ReadonlyMap<string, number>,
): Promise<PacksChecked> {
  const { store, parallel, signal } = request;
  const wanted = request.onlyThese ? await packsOf(repository, request) : undefined;
  const chosen = chooser(request);
  const isChosen = (pack: string): boolean => (wanted?.has(pack) ?? true) && chosen(pack);
  const onProgress = ({ readBytes }: { readonly readBytes: number }): void => request.onProgress(readBytes);
  return await checkPacks(repository, { store, parallel, lengths, isChosen, onProgress, signal });
}

/** What is known of packs and contents. */
interface Facts {
  readonly lengths: ReadonlyMap<string, number> | undefined;
  /** Contents that were read and are damaged. */
  readonly contents: ReadonlyMap<ContentId, string>;
}

interface Walked {
  readonly damaged: readonly (DamagedPlace & { readonly snapshot: string })[];
  readonly unsupported: ReadonlyMap<string, number>;
}

async function walk(
  repository: Repository,
  snapshots: readonly Snapshot[],
  { signal, ...facts }: Facts & { readonly signal: AbortSignal },
): Promise<Walked> {
  const damaged: (DamagedPlace & { snapshot: string })[] = [];
  const unsupported = new Map<string, number>();
  const faultOf = faultFinder(repository, facts);
  const onUnsupported = (what: string): void => void unsupported.set(what, (unsupported.get(what) ?? 0) + 1);
  for (const snapshot of snapshots) {
    const onDamage = (place: DamagedPlace): void => void damaged.push({ snapshot: snapshot.id, ...place });
    await walkSnapshot(repository, snapshot, { faultOf, onDamage, onUnsupported, signal });
  }
  return { damaged, unsupported };
}

function together(contents: ReadonlyMap<string, number>, lists: ReadonlyMap<string, number>): Unsupported[] {
  const all = new Set([...contents.keys(), ...lists.keys()]);
  return [...all].map((what) => ({ what, contents: contents.get(what) ?? 0, lists: lists.get(what) ?? 0 }));
}

/** Why a content cannot be had. A hole asks once, however long it is: runs of the same content come as one. */
function faultFinder(repository: Repository, facts: Facts): (id: ContentId) => string | undefined {
  return (id) => {
    const damage = facts.contents.get(id);
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
async function checkBlobs(repository: Repository, signal: AbortSignal): Promise<Problem[]> {
  const { store, codec, index, opened } = repository;
  const problems: Problem[] = [];
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
    await check(`session marker ${id}`, async () => {
      const sealed = await ifThere(store.get(id, { signal }));
      // Else the session has ended since the listing.
      if (sealed !== undefined) decodeSessionMarker(codec, id, sealed);
    });
  }
  for await (const { id } of store.list('kopia.maintenance', { signal })) {
    await check(`blob ${id}`, async () => openMaintenance(opened, await store.get(id, { signal })));
  }
  return problems;
}

/** The packs that hold what these snapshots need. */
async function packsOf(repository: Repository, { snapshots, signal }: VerifyRequest): Promise<Set<string>> {
  const packs = new Set<string>();
  const faultOf = (id: ContentId): undefined => {
    const entry = repository.index.find(id);
    if (entry !== undefined) packs.add(entry.packBlob);
  };
  const silent = { onDamage: () => undefined, onUnsupported: () => undefined };
  for (const snapshot of snapshots) await walkSnapshot(repository, snapshot, { faultOf, ...silent, signal });
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
