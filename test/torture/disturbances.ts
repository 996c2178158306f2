/** What happens to a volume and its snapshots from outside, none of which may hide a change or alter a snapshot. */
import { open, stat } from 'node:fs/promises';
import { blockBytes } from '../../src/changes/compare-maps.ts';
import { KernelError } from '../../src/kernel/sys.ts';
import { dedupeRange } from '../../src/kernel/reflink.ts';
import { cloneVolume } from '../../src/pool/create-volume.ts';
import { deleteVolume } from '../../src/pool/delete-volume.ts';
import { resizeVolume } from '../../src/pool/resize-volume.ts';
import { revertVolume } from '../../src/pool/revert-volume.ts';
import { rewriteVolume } from '../../src/pool/rewrite-volume.ts';
import { readImage } from './images.ts';
import { mib } from './cases.ts';
import { run, signal, volumeName, type TortureWorld } from './torture-world.ts';

export interface Disturbance {
  readonly name: string;
  /** How often it comes, next to the others. */
  readonly weight: number;
  readonly possible: (world: TortureWorld) => boolean;
  readonly happen: (world: TortureWorld) => Promise<void>;
}

const always = (): boolean => true;
const hasSnapshot = ({ snapshots }: TortureWorld): boolean => snapshots.length > 0;
const isBtrfs = ({ torture: { pool } }: TortureWorld): boolean => pool !== 'xfs';
const isRaw = ({ writer }: TortureWorld): boolean => writer.behind !== undefined;

export const disturbances: readonly Disturbance[] = [
  {
    name: 'defragment the volume',
    weight: 3,
    possible: always,
    happen: async (world) => await defragment(world, world.image),
  },
  {
    name: 'defragment a snapshot',
    weight: 3,
    possible: hasSnapshot,
    happen: async (world) => await defragment(world, world.dice.pick(world.snapshots).snapshot.image),
  },
  { name: 'balance', weight: 1, possible: isBtrfs, happen: balance },
  { name: 'rewrite the volume', weight: 5, possible: always, happen: rewrite },
  { name: 'deduplicate', weight: 5, possible: hasSnapshot, happen: deduplicate },
  { name: 'clone the volume', weight: 3, possible: hasSnapshot, happen: cloneAndScribble },
  { name: 'detach', weight: 4, possible: always, happen: async (world) => await world.detach() },
  { name: 'grow', weight: 2, possible: always, happen: grow },
  { name: 'shrink', weight: 3, possible: always, happen: shrink },
  { name: 'revert', weight: 2, possible: hasSnapshot, happen: revert },
  { name: 'write behind the device', weight: 8, possible: isRaw, happen: behind },
];

/** One of those that are possible. */
export async function disturb(world: TortureWorld): Promise<void> {
  const possible = disturbances.filter((one) => one.possible(world));
  let roll = world.dice.below(possible.reduce((sum, { weight }) => sum + weight, 0));
  const chosen = possible.find(({ weight }) => (roll -= weight) < 0)!;
  world.note(chosen.name);
  await chosen.happen(world);
}

/** Moves blocks, unshares them, and compresses them where the pool does. */
export async function defragment(world: TortureWorld, path: string): Promise<void> {
  world.relocated = true;
  if (!isBtrfs(world)) return void (await run('xfs_fsr', path));
  const compress = world.torture.pool === 'btrfs-zstd' && world.dice.chance(0.5) ? ['-czstd'] : [];
  await run('btrfs', 'filesystem', 'defragment', '-f', ...compress, path);
}

/** Moves blocks that stay shared. */
export async function balance({ poolMount }: TortureWorld): Promise<void> {
  await run('btrfs', 'balance', 'start', '-dlimit=2', poolMount);
}

/** Twice: what was gathered is not worth it any more, unless somebody writes. */
async function rewrite(world: TortureWorld): Promise<void> {
  for (let times = 0; times < 2; times += 1) {
    const { gatheredBytes, busyBytes } = await world.whileWriting(
      async () => await rewriteVolume(world.pool, volumeName, { onProgress: () => undefined, signal }),
      { flushing: true },
    );
    world.note(`gathered ${gatheredBytes}, busy ${busyBytes}`);
    if (world.device === undefined && busyBytes > 0) throw new Error(`${busyBytes} were busy, and nobody wrote`);
  }
}

/** The volume and a snapshot of it share again what is equal in both. */
async function deduplicate({ dice, image, marks, snapshots }: TortureWorld): Promise<void> {
  await using live = await open(image, 'r+');
  await using other = await open(dice.pick(snapshots).snapshot.image, 'r+');
  const size = Math.min((await live.stat()).size, (await other.stat()).size);
  for (let times = 0; times < 20; times += 1) {
    const { offset, lengthBytes } = dice.range(size, { unit: blockBytes, most: 512 * 1024 });
    const [one, two] = [
      { fd: live.fd, offset },
      { fd: other.fd, offset },
    ];
    const [from, to] = dice.chance(0.5) ? [one, two] : [two, one];
    marks.add('moved', { offset, lengthBytes });
    try {
      await dedupeRange(from, to, lengthBytes);
    } catch (error) {
      // Files with and without checksums share nothing.
      if (!(error instanceof KernelError && error.code === 'kernel-unsupported')) throw error;
    }
  }
}

/** A volume that shares a snapshot's blocks and is written to. The one before goes. */
async function cloneAndScribble({ dice, pool, snapshots }: TortureWorld): Promise<void> {
  const name = 'clone';
  if (pool.findVolume(name) !== undefined) await deleteVolume(pool, name, { withSnapshots: true, force: true, signal });
  const from = { volume: volumeName, snapshot: dice.pick(snapshots).snapshot.snapshot };
  const { image, sizeBytes } = await cloneVolume(pool, { from, name, onDropped: () => undefined, signal });
  await using file = await open(image, 'r+');
  for (let times = 0; times < 20; times += 1) {
    const { offset, lengthBytes } = dice.range(sizeBytes, { unit: 512, most: 256 * 1024 });
    await file.write(dice.bytes(lengthBytes), 0, lengthBytes, offset);
  }
}

async function grow(world: TortureWorld): Promise<void> {
  const { size } = await stat(world.image);
  await resize(world, world.dice.between(size / blockBytes, world.sizeBytesMax / blockBytes) * blockBytes);
}

/** Makes it shorter, and nearly always as long as it was at least, before anybody looks. */
async function shrink(world: TortureWorld): Promise<void> {
  const { dice, torture, writer } = world;
  await world.detach();
  const { size } = await stat(world.image);
  // What is on a file system ends where it was made.
  const least = writer.behind === undefined ? torture.sizeBytes : torture.sizeBytes - 4 * mib;
  await resize(world, dice.between(least / blockBytes, size / blockBytes) * blockBytes);
  if (dice.chance(0.7))
    await resize(world, dice.between(size / blockBytes, world.sizeBytesMax / blockBytes) * blockBytes);
}

async function resize(world: TortureWorld, sizeBytes: number): Promise<void> {
  const attached = world.device !== undefined;
  // A raw writer's handles are of a device that changes under them: it looks at it anew.
  if (attached && isRaw(world)) await world.writer.end();
  await resizeVolume(world.pool, volumeName, { sizeBytes, shrink: true, force: true, signal });
  world.note(`now ${sizeBytes}`);
  world.writer.resized(sizeBytes);
  if (attached && isRaw(world)) await world.writer.begin(world.device!, world.dice);
}

async function revert(world: TortureWorld): Promise<void> {
  await world.detach();
  const { snapshot } = world.dice.pick(world.snapshots);
  await revertVolume(
    world.pool,
    { volume: volumeName, snapshot: snapshot.snapshot },
    { onDropped: () => undefined, signal },
  );
  world.writer.replaced(await readImage(snapshot.image, Buffer.alloc(world.sizeBytesMax)));
  // What was written again as it was, since that snapshot, lies elsewhere.
  world.relocated = true;
  world.note(`to ${snapshot.snapshot}`);
}

async function behind(world: TortureWorld): Promise<void> {
  const { device, dice, image, snapshots, writer } = world;
  await writer.end();
  for (let times = dice.between(1, 8); times > 0; times -= 1) {
    const snapshot = snapshots.length === 0 ? undefined : dice.pick(snapshots).snapshot.image;
    world.note((await writer.behind?.(image, snapshot, dice)) ?? '');
  }
  if (device !== undefined) await writer.begin(device, dice);
}
