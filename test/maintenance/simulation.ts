/**
 * Two writers, a deleter, two maintainers and a real kopia on one repository, in simulated time, from a seed. Between any two
 * requests of a maintainer the others may act, and hours may pass, and minutes between those of kopia; listings show what was
 * put up to a minute late. The repository has epochs, or none (format version 1). After each step our own checker walks everything that is visible. What a writer may rely on is what
 * Kopia demands of it: an index at most a quarter of an hour old, a checkpoint at least every three quarters.
 */
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { DrayError } from '../../src/std/dray-error.ts';
import { seededRng, type Rng } from '../../src/std/rng.ts';
import type { Snapshot } from '../../src/repository/manifest/snapshot.ts';
import { Checker } from './checker.ts';
import { crossedStore } from './crossed-store.ts';
import { KopiaActor } from './kopia-actor.ts';
import { lateMsMax, lateStore } from './late-store.ts';
import { close, type Backup } from './running-backup.ts';
import {
  deleteSnapshot,
  hourMs,
  identity,
  maintainWorld,
  openWorld,
  putFile,
  putSnapshot,
  type World,
  type WorldFormat,
} from './world.ts';

const signal = new AbortController().signal;
const minuteMs = 60_000;
const dayMs = 24 * hourMs;
const chunksInUse = 40;
/** Those that only kopia has come after those that it shares. */
const chunksOfKopia = 20;
const refreshMs = 12 * minuteMs;
const checkpointMs = 35 * minuteMs;
const sliceMs = 5 * minuteMs;
const writers = 2;
/** What they back up begins like this. */
const writersPath = '/data-';
/** Before so many of its requests others act, or time passes. */
const maintainerCrossed = 0.04;
const kopiaCrossed = 0.03;
/** So long a command of kopia may take: it relies on being as fast as this, and defends itself against little more. */
const kopiaMsMax = 12 * minuteMs;

/** What may end a maintenance that others cross, or that was stopped for hours. Anything else is a defect. */
const mayEnd = new Set([
  'maintenance-late',
  'maintenance-clock',
  'index-conflict',
  'blob-not-found',
  'content-missing',
]);

export interface SimulationResult {
  readonly steps: number;
  /** Backups that were completed; how many are left in the end is a matter of dice, and may be none. */
  readonly snapshots: number;
  readonly maintenances: number;
  readonly ended: Readonly<Record<string, number>>;
  /** Days that passed. */
  readonly days: number;
  readonly removedBlobs: number;
  readonly droppedContents: boolean;
  readonly epoch: number;
  /** Commands of kopia that finished. */
  readonly kopia: { readonly snapshots: number; readonly deletions: number; readonly maintenances: number };
}

export interface KopiaShare {
  /** The path of `kopia-clock`. */
  readonly program: string;
  /** Of all steps. */
  readonly share: number;
}

export interface SimulationRun {
  readonly seed: number;
  readonly steps: number;
  readonly format?: WorldFormat | undefined;
  readonly kopia?: KopiaShare | undefined;
}

/** @throws {Error} naming the seed and the step, when anything that is visible cannot be read */
export async function simulate({ seed, steps, format, kopia }: SimulationRun): Promise<SimulationResult> {
  await using world = await openWorld({ seed, format });
  await using simulation = new Simulation(world, seededRng(seed));
  if (kopia !== undefined) await simulation.invite(kopia);
  // Everybody sees that the maintenance has an owner.
  world.clock.advance(lateMsMax);
  let step = 0;
  try {
    for (; step < steps; step++) await simulation.step();
    return await simulation.end(steps);
  } catch (cause) {
    throw new Error(`seed ${seed}, step ${step}, after ${simulation.trace.slice(-12).join(' | ')}`, { cause });
  }
}

class Simulation implements AsyncDisposable {
  readonly trace: string[] = [];
  readonly #world: World;
  readonly #rng: Rng;
  readonly #checker: Checker;
  readonly #store: BlobStore;
  readonly #backups: (Backup | undefined)[] = Array.from({ length: writers }, () => undefined);
  readonly #ended: Record<string, number> = {};
  #completed = 0;
  #maintenances = 0;
  #removed = 0;
  #dropped = 0;
  /** Maintainers at work; each may be crossed by the other, not by a third. */
  #maintaining = 0;
  #crossing = false;
  #kopia: KopiaActor | undefined;
  #kopiaShare = 0;
  readonly #kopiaDone = { snapshots: 0, deletions: 0, maintenances: 0 };
  /** How much time may still pass before kopia's command is over; undefined when none runs. */
  #kopiaLeftMs: number | undefined;

  constructor(world: World, rng: Rng) {
    this.#world = world;
    this.#rng = rng;
    this.#checker = new Checker(world.store, world.opened.format);
    this.#store = lateStore(world, rng);
  }

  async invite({ program, share }: KopiaShare): Promise<void> {
    // Before a put too: all of a command takes minutes.
    const before = async (): Promise<void> => {
      if (this.#kopiaLeftMs !== undefined) await this.#cross(false, kopiaCrossed);
    };
    this.#kopia = await KopiaActor.open({ world: this.#world, store: this.#store, program, before });
    this.#kopiaShare = share;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kopia?.[Symbol.asyncDispose]();
  }

  async step(): Promise<void> {
    await this.#act();
    await this.#checker.check();
  }

  async end(steps: number): Promise<SimulationResult> {
    for (const [n] of this.#backups.entries()) await this.#crash(n);
    const names = (await Array.fromAsync(this.#world.store.list('x', { signal }))).map(({ id }) => id as string);
    await this.#checker.check();
    return {
      steps,
      snapshots: this.#completed,
      maintenances: this.#maintenances,
      ended: this.#ended,
      kopia: this.#kopiaDone,
      days: Math.round(this.#world.clock.monotonicMs() / hourMs / 24),
      removedBlobs: this.#removed,
      droppedContents: this.#dropped > 0,
      epoch: Math.max(0, ...names.filter((name) => name.startsWith('xe')).map((name) => Number(name.slice(2)))),
    };
  }

  async #act(): Promise<void> {
    if (this.#kopia !== undefined && this.#rng.uniform() < this.#kopiaShare) return await this.#runKopia(this.#kopia);
    const draw = this.#rng.uniform();
    const n = this.#below(writers);
    if (draw < 0.24) await this.#write(n);
    else if (draw < 0.34) await this.#complete(n);
    else if (draw < 0.36) await this.#crash(n);
    else if (draw < 0.46) await this.#delete();
    else if (draw < 0.5) await this.#overlap(n);
    else if (draw < 0.82) await this.#pass(this.#span());
    else await this.#maintainOften();
  }

  /**
   * What the rules are there for: contents that nothing uses any more are used again by a backup that is under way while
   * maintenance looks at what is used, and the next runs come as early as they may.
   */
  async #overlap(n: number): Promise<void> {
    if (this.#crossing) return;
    this.trace.push('overlap');
    for (const [other] of this.#backups.entries()) await this.#complete(other);
    if (this.#rng.uniform() < 0.5) await this.#pass(dayMs + this.#rng.uniform() * hourMs);
    await this.#write(n);
    const keep = this.#below(3);
    // Kopia's stay, so that some live for days.
    const ofWriters = async (): Promise<readonly Snapshot[]> =>
      (await this.#deletable()).filter(({ source }) => source.path.startsWith(writersPath));
    for (let left = (await ofWriters()).length; left > keep; left--) await this.#delete(await ofWriters());
    await this.#pass(this.#rng.uniform() * 20 * minuteMs);
    await this.#maintainOften();
    await this.#complete(n);
    if (this.#rng.uniform() < 0.5) return;
    for (let runs = 0; runs < 3; runs++) {
      await this.#pass((4 + this.#rng.uniform()) * hourMs);
      await this.#maintain('full');
    }
  }

  /** Once, or several times within minutes: what one run marks, the next must not drop. */
  async #maintainOften(): Promise<void> {
    const times = this.#crossing || this.#rng.uniform() < 0.6 ? 1 : 3;
    for (let time = 0; time < times; time++) {
      if (time > 0) await this.#pass(this.#rng.uniform() * 8 * minuteMs);
      await this.#maintain();
    }
  }

  /** Minutes, hours, about as long as the rules ask for, or at times more than a day. */
  #span(): number {
    const draw = this.#rng.uniform();
    if (draw < 0.5) return this.#rng.uniform() * 30 * minuteMs;
    if (draw < 0.8) return this.#rng.uniform() * 6 * hourMs;
    if (draw < 0.9) return dayMs + this.#rng.uniform() * 10 * minuteMs;
    return this.#rng.uniform() * 30 * hourMs;
  }

  /** Time passes; whoever is writing does meanwhile what is demanded. */
  async #pass(wishMs: number): Promise<void> {
    const ms = Math.min(wishMs, this.#kopiaLeftMs ?? wishMs);
    if (this.#kopiaLeftMs !== undefined) this.#kopiaLeftMs -= ms;
    this.trace.push(`${Math.round(ms / minuteMs)} min`);
    const { clock } = this.#world;
    for (let left = ms; left > 0;) {
      const active = this.#backups.some((backup) => backup !== undefined);
      const slice = active ? Math.min(left, sliceMs) : left;
      clock.advance(slice);
      left -= slice;
      for (const [n] of this.#backups.entries()) await this.#keepUp(n);
    }
  }

  async #keepUp(n: number): Promise<void> {
    const backup = this.#backups[n];
    const nowMs = this.#world.clock.nowMs();
    if (backup === undefined) return;
    if (nowMs - backup.refreshedMs >= refreshMs) {
      await backup.repository.index.refresh({ signal });
      backup.refreshedMs = nowMs;
    }
    if (nowMs - backup.checkpointMs >= checkpointMs) await this.#checkpoint(backup, 'checkpoint');
  }

  async #checkpoint(backup: Backup, incomplete: string | undefined): Promise<void> {
    const { repository, writer, path, files, id } = backup;
    const nowMs = this.#world.clock.nowMs();
    backup.id = await putSnapshot(repository, writer, { path, files, nowMs, incomplete, id });
    if (incomplete === undefined) await writer.finish();
    else await writer.flush();
    backup.checkpointMs = nowMs;
  }

  async #write(n: number): Promise<void> {
    const backup = (this.#backups[n] ??= await this.#begin(n));
    const files = 1 + this.#below(3);
    for (let file = 0; file < files; file++) {
      const chunks = Array.from({ length: 1 + this.#below(3) }, () => this.#below(chunksInUse));
      backup.files.push(await putFile(backup.writer, chunks));
    }
    this.trace.push(`writer ${n} writes`);
  }

  async #begin(n: number): Promise<Backup> {
    const repository = await this.#world.open(`writer-${n}`, this.#store);
    const writer = await repository.writer(identity, { signal });
    const nowMs = this.#world.clock.nowMs();
    const path = `${writersPath}${this.#below(3)}`;
    return { repository, writer, path, files: [], id: undefined, refreshedMs: nowMs, checkpointMs: nowMs };
  }

  async #complete(n: number): Promise<void> {
    const backup = this.#backups[n];
    if (backup === undefined) return;
    await this.#checkpoint(backup, undefined);
    this.#completed++;
    this.#backups[n] = undefined;
    await close(backup);
    this.trace.push(`writer ${n} completes`);
  }

  async #crash(n: number): Promise<void> {
    const backup = this.#backups[n];
    if (backup === undefined) return;
    this.#backups[n] = undefined;
    await close(backup);
    this.trace.push(`writer ${n} crashes`);
  }

  async #delete(among?: readonly Snapshot[]): Promise<void> {
    const snapshot = this.#any(among ?? (await this.#deletable()));
    if (snapshot === undefined) return;
    await deleteSnapshot(this.#world, snapshot.id);
    this.trace.push('a snapshot is deleted');
  }

  /** Whoever made them, and has ended. */
  async #deletable(): Promise<readonly Snapshot[]> {
    const running = new Set(this.#backups.map((backup) => backup?.id));
    return (await this.#checker.check()).filter(({ id }) => !running.has(id));
  }

  async #maintain(mode: 'auto' | 'full' | 'quick' = this.#mode()): Promise<void> {
    if (this.#maintaining >= 2) return;
    const client = `maintainer-${this.#maintaining++}`;
    this.trace.push(`${client} runs ${mode}`);
    try {
      const { tasks } = await maintainWorld(this.#world, { mode, client, store: this.#crossed() });
      this.#maintenances++;
      for (const { task, removed, state, stats } of tasks) {
        if (task === 'full-delete-blobs') this.#removed += removed?.count ?? 0;
        if (task === 'full-drop-deleted-content' && state === 'done' && stats !== null) this.#dropped++;
      }
    } catch (error) {
      const code = error instanceof DrayError ? String(error.code) : '';
      if (!mayEnd.has(code)) throw error;
      this.#count(code);
      this.trace.push(`${client} ends: ${code}`);
    } finally {
      this.#maintaining--;
    }
  }

  #mode(): 'auto' | 'full' | 'quick' {
    const draw = this.#rng.uniform();
    return draw < 0.4 ? 'auto' : draw < 0.9 ? 'full' : 'quick';
  }

  async #runKopia(kopia: KopiaActor): Promise<void> {
    if (this.#kopiaLeftMs !== undefined) return;
    this.#kopiaLeftMs = kopiaMsMax;
    const draw = this.#rng.uniform();
    const what = draw < 0.5 ? 'snapshots' : draw < 0.65 ? 'deletions' : 'maintenances';
    this.trace.push(`kopia: ${what}`);
    try {
      const code = await this.#kopiaCommand(kopia, what);
      if (code === undefined) this.#kopiaDone[what]++;
      else this.#count(`kopia: ${code}`);
    } finally {
      this.#kopiaLeftMs = undefined;
    }
  }

  async #kopiaCommand(kopia: KopiaActor, what: keyof SimulationResult['kopia']): Promise<string | undefined> {
    if (what === 'snapshots') {
      const chunks = Array.from({ length: 1 + this.#below(10) }, () => this.#below(chunksInUse + chunksOfKopia));
      return await kopia.snapshot(new Set(chunks));
    }
    if (what === 'maintenances') return await kopia.maintain(this.#rng.uniform() < 0.3 ? 'auto' : 'full');
    const snapshot = this.#any(await this.#deletable());
    return snapshot && (await kopia.delete(snapshot.id));
  }

  /** The store as a maintainer of ours sees it. */
  #crossed(): BlobStore {
    return crossedStore(this.#store, async (request) => {
      await this.#cross(request === 'put' || request === 'upload', maintainerCrossed);
    });
  }

  /** Before any request the others may act, or the process may be stopped. Once a put is on its way, it takes effect within minutes. */
  async #cross(isPut: boolean, share: number): Promise<void> {
    if (this.#crossing || this.#rng.uniform() >= share) return;
    this.#crossing = true;
    try {
      if (isPut) await this.#pass(this.#rng.uniform() * 5 * minuteMs);
      else await this.#act();
      await this.#checker.check();
    } finally {
      this.#crossing = false;
    }
  }

  #count(code: string): void {
    this.#ended[code] = (this.#ended[code] ?? 0) + 1;
  }

  #any<T>(values: readonly T[]): T | undefined {
    return values[this.#below(values.length)];
  }

  #below(count: number): number {
    return Math.floor(this.#rng.uniform() * count);
  }
}
