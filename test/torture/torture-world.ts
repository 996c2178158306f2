/** One pool, one volume on it, and who writes there: all that lives as long as a case. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { promisify } from 'node:util';
import { attachVolume, detachVolume } from '../../src/pool/attach.ts';
import { createPool } from '../../src/pool/create-pool.ts';
import { createSnapshots } from '../../src/pool/create-snapshots.ts';
import { createVolume } from '../../src/pool/create-volume.ts';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import type { Pool, PoolSnapshot } from '../../src/pool/pool.ts';
import { blockBytes } from '../../src/changes/compare-maps.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { createEngine, type Engine } from '../support/engine.ts';
import { mountedFileSystem } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { BlockMarks } from './block-marks.ts';
import { mib, type PoolKind, type TortureCase } from './cases.ts';
import { Dice } from './dice.ts';
import { FileWriter } from './file-writer.ts';
import { RawWriter } from './raw-writer.ts';

export const signal: AbortSignal = new AbortController().signal;
export const volumeName = 'v';
/** How far a volume may grow past its first size. */
const growthBytesMax = 8 * mib;
/** Sparse; room for a handful of snapshots that share nothing. */
const poolBytes = 3072 * mib;
const snapshotsMax = 5;
/** Between two writes meanwhile: they go on for as long as it takes, but do not fill the disk. */
const pauseMs = 4;
/** How often the base of the next backup is removed when something has to be. */
const dropBaseShare = 0.1;

/** A snapshot of the volume, with a checksum of what it has to hold for ever. */
export interface KeptSnapshot {
  readonly snapshot: PoolSnapshot;
  readonly crc: number;
}

export class TortureWorld implements AsyncDisposable {
  readonly torture: TortureCase;
  readonly pool: Pool;
  readonly poolMount: string;
  readonly dice: Dice;
  readonly marks: BlockMarks;
  readonly writer: RawWriter | FileWriter;
  readonly engine: Engine;
  readonly folder: string;
  readonly snapshots: KeptSnapshot[] = [];
  /** What was done since the last snapshot, for people. */
  readonly done: string[] = [];
  readonly sizeBytesMax: number;
  /** Blocks were laid elsewhere since the last snapshot, it is not known which. */
  relocated = false;
  device: string | undefined;
  readonly #owned: AsyncDisposable;
  /** How much is written meanwhile is a matter of time: it decides nothing else. */
  readonly #diceMeanwhile: Dice;
  #snapshotNumber = 0;

  private constructor(parts: {
    readonly torture: TortureCase;
    readonly pool: Pool;
    readonly poolMount: string;
    readonly seed: number;
    readonly engine: Engine;
    readonly folder: string;
    readonly owned: AsyncDisposable;
  }) {
    const { torture, seed } = parts;
    this.torture = torture;
    this.pool = parts.pool;
    this.poolMount = parts.poolMount;
    this.dice = new Dice(seed);
    this.#diceMeanwhile = new Dice(seed + 1e6);
    this.engine = parts.engine;
    this.folder = parts.folder;
    this.#owned = parts.owned;
    this.sizeBytesMax = torture.sizeBytes + growthBytesMax;
    this.marks = new BlockMarks(this.sizeBytesMax / blockBytes);
    const { inner: kind, sectorBytes, sizeBytes } = torture;
    this.writer =
      kind === 'raw'
        ? new RawWriter({ marks: this.marks, sectorBytes, sizeBytes, preallocates: torture.pool !== 'btrfs-zstd' })
        : new FileWriter({ kind, mountPoint: join(this.folder, 'mounted') });
  }

  static async make(torture: TortureCase, seed: number): Promise<TortureWorld> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await temporaryFolder('torture')).path;
    for (const name of ['mounted', 'checked']) await mkdir(join(folder, name));
    const mounted = stack.use(await mountPool(torture.pool));
    const pool = await createPool(join(mounted.path, 'pool'), { clock, rng }, { signal });
    // New files inherit the flags of their folder.
    if (torture.pool === 'btrfs-zstd') await run('chattr', '-R', '-m', pool.layout.root);
    const { inner, sectorBytes, sizeBytes } = torture;
    const mkfs = inner === 'raw' ? undefined : inner;
    const options = { name: volumeName, sizeBytes, sectorBytes, mkfs, onDropped: () => undefined, signal };
    await createVolume(pool, options);
    const engine = await createEngine(folder);
    const owned = stack.move();
    return new TortureWorld({ torture, pool, poolMount: mounted.path, seed, engine, folder, owned });
  }

  get image(): string {
    return this.pool.layout.image(volumeName);
  }

  note(what: string): void {
    this.done.push(what);
  }

  async attach(): Promise<void> {
    if (this.device !== undefined) return;
    const { device } = await attachVolume(this.pool, volumeName, { readOnly: false, signal });
    this.device = device.path;
    await this.writer.begin(device.path, this.dice);
    this.note('attach');
  }

  async detach(): Promise<void> {
    if (this.device === undefined) return;
    await this.writer.end();
    await detachVolume(this.pool, volumeName, { signal });
    this.device = undefined;
    this.note('detach');
  }

  /** Does `work` while the writer goes on, if it can. With `flushing` all that it writes reaches the image at once. */
  async whileWriting<T>(work: () => Promise<T>, { flushing }: { readonly flushing: boolean }): Promise<T> {
    if (this.device === undefined) return await work();
    let isOver = false;
    const writing = (async () => {
      while (!isOver) {
        this.note(`meanwhile: ${await this.writer.step(this.#diceMeanwhile)}`);
        if (flushing) await this.writer.flush();
        else await clock.sleep(pauseMs, { signal });
      }
    })();
    try {
      return await work();
    } finally {
      isOver = true;
      await writing;
    }
  }

  /** A snapshot, while the writer goes on. */
  async makeSnapshot(): Promise<PoolSnapshot> {
    const snapshot = `r${(this.#snapshotNumber += 1)}`;
    this.writer.snapshotBegins();
    this.marks.cloning = true;
    const options = { madeBy: 'user', needs: [], freezeBoundMs: 20_000, onDropped: refuseDrop, signal } as const;
    const { snapshots } = await this.whileWriting(
      async () => await createSnapshots(this.pool, { ...options, snapshots: [{ volume: volumeName, snapshot }] }),
      { flushing: false },
    );
    this.marks.cloning = false;
    this.writer.snapshotEnded();
    return snapshots[0]!;
  }

  keep(snapshot: PoolSnapshot, image: Buffer): void {
    this.snapshots.push({ snapshot, crc: crc32(image) });
  }

  /** Takes away what is too much, in any order, the newest excepted. */
  async dropSnapshots(): Promise<void> {
    while (this.snapshots.length > snapshotsMax) {
      const index = this.dice.below(this.snapshots.length - 1);
      const { volume, snapshot: name } = this.snapshots[index]!.snapshot;
      const isBase = this.pool.snapshot(volume, name).record.needs.length > 0;
      if (isBase && !this.dice.chance(dropBaseShare)) continue;
      this.snapshots.splice(index, 1);
      await deleteSnapshot(this.pool, { volume, snapshot: name }, { force: true, signal });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.detach();
    } finally {
      await this.#owned[Symbol.asyncDispose]();
    }
  }
}

function refuseDrop({ snapshot: name }: PoolSnapshot): never {
  throw new Error(`${name} was given up for room: the pool is too small for this test`);
}

async function mountPool(kind: PoolKind): ReturnType<typeof mountedFileSystem> {
  if (kind === 'xfs') return await mountedFileSystem('xfs', poolBytes);
  if (kind === 'btrfs-zstd')
    return await mountedFileSystem('btrfs', poolBytes, { mountOptions: 'compress-force=zstd' });
  const mounted = await mountedFileSystem('btrfs', poolBytes);
  // Files and folders inherit it.
  if (kind === 'btrfs-nodatacow') await run('chattr', '+C', mounted.path);
  return mounted;
}

/** Runs a program of the system without holding anything else up. @returns what it printed */
export async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, [...args]);
  return stdout;
}
