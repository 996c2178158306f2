/** The operations of the worker: chosen by seed from what is in the pool, each with what it will have changed. */
import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { attachVolume, detachVolume } from '../../../src/pool/attach.ts';
import { createSnapshots } from '../../../src/pool/create-snapshots.ts';
import { cloneVolume, createVolume } from '../../../src/pool/create-volume.ts';
import { deleteSnapshot } from '../../../src/pool/delete-snapshot.ts';
import { deleteVolume } from '../../../src/pool/delete-volume.ts';
import { addNeed, withdrawNeed } from '../../../src/pool/needs.ts';
import type { SnapshotName } from '../../../src/pool/pool-names.ts';
import type { Pool } from '../../../src/pool/pool.ts';
import { resizeVolume } from '../../../src/pool/resize-volume.ts';
import { revertVolume } from '../../../src/pool/revert-volume.ts';
import { rewriteVolume } from '../../../src/pool/rewrite-volume.ts';
import type { Rng } from '../../../src/std/rng.ts';
import { dataDigest } from '../../support/volume-model.ts';
import type { Effect, Thing } from './model.ts';

/** A volume that is attached and holds a mounted ext4; its content is judged by its marker. */
export const mountedName = 'mounted';
/** A volume that is attached and written to as a device. */
export const rawName = 'raw';
export const markerName = 'marker';
export const markerBytes = 4096;

const plainMax = 4;
const snapshotsMax = 12;
const mib = 1024 * 1024;
const repositories = ['aa', 'bb'] as const;
const onDropped = (): void => undefined;

export interface Place {
  readonly pool: Pool;
  readonly rng: Rng;
  /** Where `mountedName` is mounted, and the device that `rawName` is; undefined in a copy of the pool. */
  readonly mountPoint: string;
  readonly device: string;
  readonly signal: AbortSignal;
}

export interface Operation {
  readonly what: string;
  /** As far as it is known beforehand. */
  readonly effect: Effect;
  readonly run: () => Promise<void>;
}

export async function nextOperation(place: Place): Promise<Operation> {
  const { pool, rng } = place;
  const plain = pool.volumes().flatMap(({ name }) => (name === mountedName || name === rawName ? [] : name));
  const snapshots = pool.volumes().flatMap(({ name }) => pool.snapshots(name));
  const names = snapshots.map(({ volume, snapshot: name }): SnapshotName => ({ volume, snapshot: name }));
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(rng.uniform() * list.length)];
  const volume = pick(plain);
  const snapshot = pick(names);
  if (volume === undefined) return creation(place);
  const dice = Math.floor(rng.uniform() * 26);
  if (names.length >= snapshotsMax && snapshot !== undefined) {
    return dice < 13 ? await volumeRemoval(place, volume) : await removal(place, snapshot);
  }
  if (plain.length < plainMax && dice >= 24)
    return snapshot === undefined || dice === 24 ? creation(place) : await cloning(place, snapshot);
  if (dice < 5) return await snapshotting(place, [volume]);
  if (dice < 8) return await snapshotting(place, [mountedName]);
  if (dice < 9) return await snapshotting(place, [rawName]);
  if (dice < 11) return await snapshotting(place, [mountedName, ...plain.slice(0, 2)]);
  if (dice < 12) return await writing(place, rawName);
  if (dice < 13) return await marking(place);
  if (dice < 15) return await writing(place, volume);
  if (dice < 16) return await resizing(place, volume);
  if (dice < 17) return await attaching(place, volume);
  if (dice < 18) return await rewriting(place, volume);
  if (plain.length >= plainMax && dice < 20) return await volumeRemoval(place, volume);
  if (snapshot === undefined || (plain.length < plainMax && dice < 19)) return creation(place);
  if (dice < 20) return await cloning(place, snapshot);
  if (dice < 22) return await removal(place, snapshot);
  if (dice < 23) return await needing(place, snapshot);
  const own = pick(names.filter((name) => plain.includes(name.volume)));
  if (own === undefined) return await snapshotting(place, [volume]);
  return await reverting(place, own);
}

export type NamedOperation =
  | 'create'
  | 'snapshot'
  | 'group'
  | 'clone'
  | 'revert'
  | 'delete'
  | 'need'
  | 'resize'
  | 'write';

/** One that is asked for, of volumes that are not attached. Makes what it needs first. */
export async function operationNamed(place: Place, name: NamedOperation): Promise<Operation> {
  const { pool } = place;
  const plain = pool
    .volumes()
    .flatMap((volume) => (volume.name === mountedName || volume.name === rawName ? [] : volume.name));
  const [one = '', two = ''] = plain;
  if (name === 'create' || two === '') return creation(place);
  if (name === 'group') return await snapshotting(place, [one, two]);
  if (name === 'write') return await writing(place, one);
  if (name === 'resize') return await resizing(place, one);
  const snapshot = pool.snapshots(one).at(-1)?.snapshot;
  if (name === 'snapshot' || snapshot === undefined) return await snapshotting(place, [one]);
  const of = { volume: one, snapshot };
  if (name === 'clone') return await cloning(place, of);
  if (name === 'revert') return await reverting(place, of);
  return name === 'delete' ? await removal(place, of) : await needing(place, of);
}

/** What is at this moment in a volume or snapshot that nobody writes to. */
export async function thingOf(image: string, needs: readonly string[] = []): Promise<Thing> {
  await using file = await open(image);
  const { size } = await file.stat();
  return { digest: await dataDigest(image), sizeBytes: size, needs };
}

async function snapshotting({ pool, rng, mountPoint, signal }: Place, volumes: readonly string[]): Promise<Operation> {
  const snapshot = freshName(rng, 's');
  const put: Record<string, Thing> = {};
  for (const volume of volumes) {
    const { image, sizeBytes } = pool.volume(volume);
    const isMounted = volume === mountedName;
    const marker = isMounted ? await readFile(join(mountPoint, markerName), 'latin1') : undefined;
    put[`${volume}@${snapshot}`] = isMounted
      ? { digest: null, sizeBytes, needs: [], marker: marker ?? null }
      : await thingOf(image);
  }
  const request = { madeBy: 'user', needs: [], freezeBoundMs: 10_000, onDropped, signal } as const;
  const run = async (): Promise<void> =>
    void (await createSnapshots(pool, { ...request, snapshots: volumes.map((volume) => ({ volume, snapshot })) }));
  return { what: `snapshot ${Object.keys(put).join(' ')}`, effect: { put, gone: [] }, run };
}

async function removal({ pool, signal }: Place, name: SnapshotName): Promise<Operation> {
  const gone = [`${name.volume}@${name.snapshot}`];
  const run = async (): Promise<void> => void (await deleteSnapshot(pool, name, { force: true, signal }));
  return { what: `delete ${gone[0]}`, effect: { put: {}, gone }, run };
}

async function volumeRemoval({ pool, signal }: Place, name: string): Promise<Operation> {
  const gone = [name, ...pool.snapshots(name).map((snapshot) => `${name}@${snapshot.snapshot}`)];
  const options = { withSnapshots: true, force: true, signal };
  return {
    what: `delete ${name}`,
    effect: { put: {}, gone },
    run: async () => await deleteVolume(pool, name, options),
  };
}

function creation({ pool, rng, signal }: Place): Operation {
  const name = freshName(rng, 'v');
  const sizeBytes = (1 + Math.floor(rng.uniform() * 5)) * mib;
  const mkfs = rng.uniform() < 0.5 ? 'ext4' : undefined;
  const options = { name, sizeBytes, sectorBytes: 4096, mkfs, onDropped, signal } as const;
  const put = { [name]: { digest: null, sizeBytes, needs: [] } };
  const run = async (): Promise<void> => void (await createVolume(pool, options));
  return { what: `create ${name} ${mkfs ?? ''}`, effect: { put, gone: [] }, run };
}

async function cloning({ pool, rng, signal }: Place, from: SnapshotName): Promise<Operation> {
  const name = freshName(rng, 'c');
  const put = { [name]: await thingOf(pool.snapshot(from.volume, from.snapshot).image) };
  const run = async (): Promise<void> => void (await cloneVolume(pool, { from, name, onDropped, signal }));
  return { what: `clone ${from.volume}@${from.snapshot} ${name}`, effect: { put, gone: [] }, run };
}

async function reverting({ pool, signal }: Place, name: SnapshotName): Promise<Operation> {
  const put = { [name.volume]: await thingOf(pool.snapshot(name.volume, name.snapshot).image) };
  const run = async (): Promise<void> => void (await revertVolume(pool, name, { onDropped, signal }));
  return { what: `revert ${name.volume}@${name.snapshot}`, effect: { put, gone: [] }, run };
}

async function resizing({ pool, rng, signal }: Place, name: string): Promise<Operation> {
  const sizeBytes = (1 + Math.floor(rng.uniform() * 6)) * mib;
  const put = { [name]: { digest: null, sizeBytes, needs: [] } };
  const run = async (): Promise<void> =>
    void (await resizeVolume(pool, name, { sizeBytes, shrink: true, force: true, signal }));
  return { what: `resize ${name} ${sizeBytes}`, effect: { put, gone: [] }, run };
}

/** Nothing may change by it, also when it is cut off. */
async function rewriting({ pool, signal }: Place, name: string): Promise<Operation> {
  const run = async (): Promise<void> =>
    void (await rewriteVolume(pool, name, { onProgress: () => undefined, signal }));
  return {
    what: `rewrite ${name}`,
    effect: { put: { [name]: await thingOf(pool.volume(name).image) }, gone: [] },
    run,
  };
}

async function attaching({ pool, signal }: Place, name: string): Promise<Operation> {
  const run = async (): Promise<void> => {
    await attachVolume(pool, name, { readOnly: false, signal });
    await detachVolume(pool, name, { signal });
  };
  return { what: `attach ${name}`, effect: { put: { [name]: await thingOf(pool.volume(name).image) }, gone: [] }, run };
}

async function needing({ pool, rng, signal }: Place, name: SnapshotName): Promise<Operation> {
  const snapshot = pool.snapshot(name.volume, name.snapshot);
  const repository = repositories[rng.uniform() < 0.5 ? 0 : 1];
  const others = snapshot.record.needs.flatMap((need) => (need.repository === repository ? [] : need.repository));
  const isNeeded = others.length < snapshot.record.needs.length;
  const thing = await thingOf(snapshot.image, isNeeded ? others : [...others, repository]);
  const since = new Date(pool.clock.nowMs()).toISOString();
  const need = { kind: 'backup', repository, url: '/backups', since } as const;
  const run = async (): Promise<void> => {
    if (isNeeded) await withdrawNeed(pool, snapshot, { repository, signal });
    else await addNeed(pool, snapshot, { need, signal });
  };
  const key = `${name.volume}@${name.snapshot}`;
  return { what: `${isNeeded ? 'no need' : 'need'} ${key}`, effect: { put: { [key]: thing }, gone: [] }, run };
}

/** An application that writes and syncs. */
async function writing({ pool, rng, device }: Place, name: string): Promise<Operation> {
  const { image, sizeBytes } = pool.volume(name);
  const run = async (): Promise<void> => {
    await using file = await open(name === rawName ? device : image, 'r+');
    for (let count = 0; count < 4; count += 1) {
      const bytes = randomBytes(4096 * (1 + Math.floor(rng.uniform() * 8)));
      const offset = 4096 * Math.floor((rng.uniform() * (sizeBytes - bytes.length)) / 4096);
      await file.write(bytes, 0, bytes.length, offset);
    }
    await file.sync();
  };
  return { what: `write ${name}`, effect: { put: { [name]: { digest: null, sizeBytes, needs: [] } }, gone: [] }, run };
}

/** An application on a file system that writes and syncs. */
async function marking({ pool, mountPoint }: Place): Promise<Operation> {
  const text = randomBytes(markerBytes / 2).toString('hex');
  const { sizeBytes } = pool.volume(mountedName);
  const run = async (): Promise<void> => {
    await using file = await open(join(mountPoint, markerName), 'r+');
    await file.write(text, 0);
    await file.sync();
  };
  const put = { [mountedName]: { digest: null, sizeBytes, needs: [], marker: null } };
  return { what: `write ${mountedName}`, effect: { put, gone: [] }, run };
}

function freshName(rng: Rng, prefix: string): string {
  return `${prefix}${Math.floor(rng.uniform() * 0x1_0000_0000).toString(36)}`;
}
