/**
 * Two writers, a deleter and two maintainers on one repository, in simulated time, from a seed. Between any two requests of
 * a maintainer the others may act, and hours may pass; listings show what was put up to a minute late. After each
 * step our own checker walks everything that is visible. What a writer may rely on is what Kopia demands of it: an index
 * at most a quarter of an hour old, a checkpoint at least every three quarters.
 */
import type { BlobMetadata, BlobStore } from '../../src/blobs/blob-store.ts';
import { DrayError } from '../../src/std/dray-error.ts';
import { seededRng, type Rng } from '../../src/std/rng.ts';
import type { SnapshotId } from '../../src/repository/manifest/snapshot.ts';
import type { ObjectId } from '../../src/repository/object/object-id.ts';
import type { Repository } from '../../src/repository/repository.ts';
import type { RepositoryWriter } from '../../src/repository/repository-writer.ts';
import { Checker } from './checker.ts';
import {
  deleteSnapshot,
  hourMs,
  identity,
  maintainWorld,
  openWorld,
  putFile,
  putSnapshot,
  type World,
} from './world.ts';

const signal = new AbortController().signal;
const minuteMs = 60_000;
const chunksInUse = 40;
const refreshMs = 12 * minuteMs;
const checkpointMs = 35 * minuteMs;
const sliceMs = 5 * minuteMs;
/** How late a listing may be. */
const lateMsMax = minuteMs;
const writers = 2;

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
  readonly snapshots: number;
  readonly maintenances: number;
  readonly ended: Readonly<Record<string, number>>;
  /** Days that passed. */
  readonly days: number;
  readonly removedBlobs: number;
  readonly droppedContents: boolean;
  readonly epoch: number;
}

interface Backup {
  readonly repository: Repository;
  readonly writer: RepositoryWriter;
  readonly path: string;
  readonly files: ObjectId[];
  id: SnapshotId | undefined;
  refreshedMs: number;
  checkpointMs: number;
}

/** @throws {Error} naming the seed and the step, when anything that is visible cannot be read */
export async function simulate({
  seed,
  steps,
}: {
  readonly seed: number;
  readonly steps: number;
}): Promise<SimulationResult> {
  await using world = await openWorld({ seed });
  const simulation = new Simulation(world, seededRng(seed));
  let step = 0;
  try {
    for (; step < steps; step++) await simulation.step();
    return await simulation.end(steps);
  } catch (cause) {
    throw new Error(`seed ${seed}, step ${step}, after ${simulation.trace.slice(-12).join(' | ')}`, { cause });
  }
}

class Simulation {
  readonly trace: string[] = [];
  readonly #world: World;
  readonly #rng: Rng;
  readonly #checker: Checker;
  readonly #store: BlobStore;
  readonly #backups: (Backup | undefined)[] = Array.from({ length: writers }, () => undefined);
  readonly #ended: Record<string, number> = {};
  #maintenances = 0;
  #removed = 0;
  /** Maintainers at work; each may be crossed by the other, not by a third. */
  #maintaining = 0;
  #crossing = false;

  constructor(world: World, rng: Rng) {
    this.#world = world;
    this.#rng = rng;
    this.#checker = new Checker(world.store, world.opened.format);
    this.#store = lateStore(world, rng);
  }

  async step(): Promise<void> {
    await this.#act();
    await this.#checker.check();
  }

  async end(steps: number): Promise<SimulationResult> {
    for (const [n] of this.#backups.entries()) await this.#crash(n);
    const names = (await Array.fromAsync(this.#world.store.list('x', { signal }))).map(({ id }) => id as string);
    return {
      steps,
      snapshots: (await this.#checker.check()).length,
      maintenances: this.#maintenances,
      ended: this.#ended,
      days: Math.round(this.#world.clock.monotonicMs() / hourMs / 24),
      removedBlobs: this.#removed,
      droppedContents: names.some((name) => name.startsWith('xw')),
      epoch: Math.max(0, ...names.filter((name) => name.startsWith('xe')).map((name) => Number(name.slice(2)))),
    };
  }

  async #act(): Promise<void> {
    const draw = this.#rng.uniform();
    const n = this.#below(writers);
    if (draw < 0.28) await this.#write(n);
    else if (draw < 0.38) await this.#complete(n);
    else if (draw < 0.4) await this.#crash(n);
    else if (draw < 0.52) await this.#delete();
    else if (draw < 0.82) await this.#pass(this.#span());
    else await this.#maintainOften();
  }

  /** Once, or several times within minutes: what one run marks, the next must not drop. */
  async #maintainOften(): Promise<void> {
    const times = this.#crossing || this.#rng.uniform() < 0.6 ? 1 : 3;
    for (let time = 0; time < times; time++) {
      if (time > 0) await this.#pass(this.#rng.uniform() * 8 * minuteMs);
      await this.#maintain();
    }
  }

  /** Minutes, hours, or at times more than a day. */
  #span(): number {
    const draw = this.#rng.uniform();
    if (draw < 0.5) return this.#rng.uniform() * 30 * minuteMs;
    if (draw < 0.9) return this.#rng.uniform() * 6 * hourMs;
    return this.#rng.uniform() * 30 * hourMs;
  }

  /** Time passes; whoever is writing does meanwhile what is demanded. */
  async #pass(ms: number): Promise<void> {
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
    const path = `/data-${this.#below(3)}`;
    return { repository, writer, path, files: [], id: undefined, refreshedMs: nowMs, checkpointMs: nowMs };
  }

  async #complete(n: number): Promise<void> {
    const backup = this.#backups[n];
    if (backup === undefined) return;
    await this.#checkpoint(backup, undefined);
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

  async #delete(): Promise<void> {
    const running = new Set(this.#backups.map((backup) => backup?.id));
    const snapshots = (await this.#checker.check()).filter(({ id }) => !running.has(id));
    const snapshot = snapshots[this.#below(snapshots.length)];
    if (snapshot === undefined) return;
    await deleteSnapshot(this.#world, snapshot.id);
    this.trace.push('a snapshot is deleted');
  }

  async #maintain(): Promise<void> {
    if (this.#maintaining >= 2) return;
    const client = `maintainer-${this.#maintaining++}`;
    const draw = this.#rng.uniform();
    const mode = draw < 0.5 ? 'auto' : draw < 0.9 ? 'full' : 'quick';
    this.trace.push(`${client} runs ${mode}`);
    try {
      const { tasks } = await maintainWorld(this.#world, { mode, client, store: this.#crossed() });
      this.#maintenances++;
      for (const { task, removed } of tasks) if (task === 'full-delete-blobs') this.#removed += removed?.count ?? 0;
    } catch (error) {
      const code = error instanceof DrayError ? String(error.code) : '';
      if (!mayEnd.has(code)) throw error;
      this.#ended[code] = (this.#ended[code] ?? 0) + 1;
      this.trace.push(`${client} ends: ${code}`);
    } finally {
      this.#maintaining--;
    }
  }

  /** The store as a maintainer sees it: before any request the others may act, or the process may be stopped. */
  #crossed(): BlobStore {
    const store = this.#store;
    const before = async (name: string): Promise<void> => {
      if (this.#crossing || this.#rng.uniform() >= 0.04) return;
      this.#crossing = true;
      try {
        // Once a put is on its way, it takes effect within minutes.
        if (name === 'put' || name === 'upload') await this.#pass(this.#rng.uniform() * 5 * minuteMs);
        else await this.#act();
        await this.#checker.check();
      } finally {
        this.#crossing = false;
      }
    };
    return new Proxy(store, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== 'function' || typeof name !== 'string') return value;
        const call = value.bind(target) as (...args: readonly unknown[]) => unknown;
        if (name === 'list') {
          return async function* (...args: readonly unknown[]) {
            await before(name);
            yield* call(...args) as AsyncIterable<BlobMetadata>;
          };
        }
        if (!['get', 'put', 'upload', 'stat', 'remove', 'serverTimeMs'].includes(name)) return call;
        return async (...args: readonly unknown[]) => {
          await before(name);
          return await (call(...args) as Promise<unknown>);
        };
      },
    });
  }

  #below(count: number): number {
    return Math.floor(this.#rng.uniform() * count);
  }
}

async function close({ writer, repository }: Backup): Promise<void> {
  await writer[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
}

/** Some blobs show in listings only a while after they were put. */
function lateStore({ store, clock }: World, rng: Rng): BlobStore {
  const lateness = new Map<string, number>();
  const isVisible = ({ id, timestampMs }: BlobMetadata): boolean => {
    const key = `${id} ${timestampMs}`;
    let late = lateness.get(key);
    if (late === undefined) lateness.set(key, (late = rng.uniform() < 0.2 ? rng.uniform() * lateMsMax : 0));
    return clock.nowMs() - timestampMs >= late;
  };
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'list') {
        return async function* (prefix: string) {
          for await (const blob of target.list(prefix, { signal })) if (isVisible(blob)) yield blob;
        };
      }
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
