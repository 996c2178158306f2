/**
 * Rounds of one case: writes and disturbances by chance, a snapshot while the writer goes on, then the comparison of
 * extents with the snapshot before against a comparison of every byte. A block that differs and is not reported ends the
 * case, as does whatever else is not as it has to be.
 */
import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { blockBytes } from '../../src/changes/compare-maps.ts';
import { compareExtents, type ExtentDifference } from '../../src/changes/extents.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { checkBackup } from './backup-check.ts';
import type { TortureCase } from './cases.ts';
import { balance, defragment, disturb } from './disturbances.ts';
import { differingBlocks, isZero, namedBlocks, readImage } from './images.ts';
import { emptyTally, type Tally } from './tally.ts';
import { signal, TortureWorld, type KeptSnapshot } from './torture-world.ts';

export interface TortureOptions {
  readonly rounds: number;
  readonly seed: number;
  /** How often a snapshot is backed up and restored, in rounds. */
  readonly backupEvery: number;
}

export class TortureFailure extends Error {
  readonly tally: Tally;

  constructor(what: string, tally: Tally, options: ErrorOptions) {
    super(what, options);
    this.tally = tally;
  }
}

/** How often a snapshot is compared with any older one, in rounds. */
const olderEvery = 4;
/** What of a long list of operations is shown. */
const shownMax = 120;

/** @throws {TortureFailure} with seed, round and what was done in it */
export async function torture(one: TortureCase, { rounds, seed, backupEvery }: TortureOptions): Promise<Tally> {
  const tally = emptyTally();
  await using world = await TortureWorld.make(one, seed);
  const run = new Rounds(world, tally, backupEvery);
  for (let round = 1; round <= rounds; round += 1) {
    try {
      await run.round(round);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      const done = world.done.slice(-shownMax).join('\n  ');
      throw new TortureFailure(`${one.name}, seed ${seed}, round ${round}: ${text}\n  ${done}`, tally, {
        cause: error,
      });
    }
    tally.rounds = round;
  }
  return tally;
}

class Rounds {
  readonly #world: TortureWorld;
  readonly #tally: Tally;
  readonly #backupEvery: number;
  /** The image of the snapshot before, and room for that of the next. */
  #before: Buffer | undefined;
  #buffers: [Buffer, Buffer, Buffer];
  /** The newest snapshot lies elsewhere than when it was made: so it will as the next base. */
  #targetMoved = false;
  /** What comparisons said while the files moved. */
  #whileMoving: readonly ExtentDifference[] = [];

  constructor(world: TortureWorld, tally: Tally, backupEvery: number) {
    this.#world = world;
    this.#tally = tally;
    this.#backupEvery = backupEvery;
    const room = (): Buffer => Buffer.allocUnsafeSlow(world.sizeBytesMax);
    this.#buffers = [room(), room(), room()];
  }

  async round(round: number): Promise<void> {
    const { dice, done, marks, snapshots, writer } = this.#world;
    await this.#write();
    const snapshot = await this.#world.makeSnapshot();
    const [, next, spare] = this.#buffers;
    const image = await readImage(snapshot.image, next);
    const fault = writer.faultOf(image);
    if (fault !== undefined) throw new Error(`the snapshot ${snapshot.snapshot}: ${fault}`);
    this.#world.keep(snapshot, image);
    const [now, before] = snapshots.toReversed();
    if (before !== undefined && this.#before !== undefined) await this.#judge(before, now!, this.#before, image);
    marks.nextRound();
    this.#world.relocated = this.#targetMoved;
    this.#targetMoved = false;
    const told = done.length;
    if (round % olderEvery === 0) await this.#compareWithOlder(now!, image, spare);
    if (writer.behind !== undefined && dice.chance(0.3)) await this.#compareWithVolume(now!, image, spare);
    if (round % this.#backupEvery === 0) await this.#backup(now!, image, spare);
    this.#before = image;
    this.#buffers = [next, this.#buffers[0], spare];
    await this.#world.dropSnapshots();
    done.splice(0, told);
  }

  async #write(): Promise<void> {
    const world = this.#world;
    const { dice } = world;
    if (world.device === undefined && dice.chance(0.8)) await world.attach();
    const disturbances = dice.chance(0.5) ? dice.between(1, 2) : 0;
    for (let times = 0; times <= disturbances; times += 1) {
      if (world.device !== undefined) {
        for (let steps = dice.between(5, 30); steps > 0; steps -= 1) world.note(await world.writer.step(dice));
      }
      if (times < disturbances) await disturb(world);
    }
  }

  /** The base's image is known from the round before; nothing may have changed it since. */
  async #judge(base: KeptSnapshot, target: KeptSnapshot, before: Buffer, image: Buffer): Promise<void> {
    const { dice } = this.#world;
    this.#whileMoving = [];
    const { extents } = dice.chance(0.1)
      ? await this.#compareWhileMoving(base, target)
      : await compareFiles(base.snapshot.image, target.snapshot.image);
    const what = `${base.snapshot.snapshot} and ${target.snapshot.snapshot}`;
    for (const one of this.#whileMoving) this.#mustNameAll(what, one.extents, before, image);
    this.#tally.otherPairs += this.#whileMoving.length;
    const [differs, named] = [differingBlocks(before, image), namedBlocks(extents, image.length)];
    const tally = this.#tally;
    for (let block = 0; block < differs.length; block += 1) {
      const offset = block * blockBytes;
      if (named[block] === 1) tally.reported += 1;
      if (differs[block] === 1) {
        tally.changed += 1;
        if (named[block] === 0) this.#missed(what, offset);
      } else if (named[block] === 1) tally[this.#why(block, isZero(image, offset))] += 1;
    }
  }

  #missed(what: string, offset: number): never {
    this.#tally.missed += 1;
    throw new Error(`block ${offset} differs between ${what} and is not reported`);
  }

  #why(block: number, zero: boolean): 'aside' | 'moved' | 'unexplained' {
    const { marks, relocated, torture } = this.#world;
    if (relocated || marks.has('moved', block)) return 'moved';
    // Where a file system discards and zeroes is its own affair: there it is seen by what is left.
    return marks.has('aside', block) || (torture.inner !== 'raw' && zero) ? 'aside' : 'unexplained';
  }

  /** The file system moves what is compared, which is compared for so long; that may be refused. The last one counts. */
  async #compareWhileMoving(base: KeptSnapshot, target: KeptSnapshot): Promise<ExtentDifference> {
    const world = this.#world;
    const moved = world.dice.pick([[base], [target], [base, target]]);
    world.note(`compare while ${moved.map(({ snapshot }) => snapshot.snapshot).join(' and ')} moves`);
    world.relocated = true;
    this.#targetMoved = moved.includes(target);
    const isBalance = world.torture.pool !== 'xfs' && world.dice.chance(0.5);
    let isOver = false;
    const moving = Promise.all([
      ...moved.map(async ({ snapshot }) => await defragment(world, snapshot.image)),
      ...(isBalance ? [balance(world)] : []),
    ]).finally(() => (isOver = true));
    const named: ExtentDifference[] = [];
    while (!isOver) {
      try {
        named.push(await compareFiles(base.snapshot.image, target.snapshot.image));
      } catch (error) {
        if (!hasCode(error, 'changes-incomparable')) throw error;
        this.#tally.refused += 1;
      }
    }
    await moving;
    this.#whileMoving = named;
    return await compareFiles(base.snapshot.image, target.snapshot.image);
  }

  /** Any two snapshots can be compared, and none has changed since it was made. */
  async #compareWithOlder(now: KeptSnapshot, image: Buffer, spare: Buffer): Promise<void> {
    const { dice, snapshots } = this.#world;
    const older = dice.pick(snapshots);
    const bytes = await readImage(older.snapshot.image, spare);
    if (crc32(bytes) !== older.crc)
      throw new Error(`the snapshot ${older.snapshot.snapshot} has changed since it was made`);
    const { extents } = await compareFiles(older.snapshot.image, now.snapshot.image);
    this.#mustNameAll(`${older.snapshot.snapshot} and ${now.snapshot.snapshot}`, extents, bytes, image);
    this.#tally.otherPairs += 1;
  }

  /** What was just written into the image of the volume is in no map yet. */
  async #compareWithVolume(now: KeptSnapshot, image: Buffer, spare: Buffer): Promise<void> {
    const world = this.#world;
    await world.detach();
    world.note(await world.writer.behind!(world.image, now.snapshot.image, world.dice));
    const { extents } = await compareFiles(now.snapshot.image, world.image);
    this.#mustNameAll(`${now.snapshot.snapshot} and the volume`, extents, image, await readImage(world.image, spare));
    this.#tally.otherPairs += 1;
  }

  #mustNameAll(what: string, extents: ExtentDifference['extents'], base: Buffer, target: Buffer): void {
    const [differs, named] = [differingBlocks(base, target), namedBlocks(extents, target.length)];
    const missed = differs.findIndex((value, block) => value === 1 && named[block] === 0);
    if (missed >= 0) this.#missed(what, missed * blockBytes);
  }

  async #backup({ snapshot }: KeptSnapshot, image: Buffer, spare: Buffer): Promise<void> {
    const { byExtents, checkedFileSystem } = await checkBackup(this.#world, { snapshot, image, spare });
    this.#tally.backups += 1;
    if (byExtents) this.#tally.byExtents += 1;
    if (checkedFileSystem) this.#tally.fscks += 1;
  }
}

async function compareFiles(base: string, target: string): Promise<ExtentDifference> {
  await using before = await open(base, 'r');
  await using after = await open(target, 'r');
  const [one, two] = [await before.stat(), await after.stat()];
  return await compareExtents(
    { fd: before.fd, sizeBytes: one.size },
    { fd: after.fd, sizeBytes: two.size },
    { signal },
  );
}
