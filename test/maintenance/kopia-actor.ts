/**
 * A real kopia in the simulation: it reaches the world's store through a door that speaks S3, gets the time from the
 * simulated clock, and keeps its cache between commands. Its files are the writers' chunks, so that it shares contents with
 * them. It is the owner of the maintenance, so that each of its commands may begin one. Its random names are its own: with it, a
 * seed says what is tried and not what comes of it.
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { blobId, type BlobStore } from '../../src/blobs/blob-store.ts';
import type { SnapshotId } from '../../src/repository/manifest/snapshot.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { KopiaClient, KopiaFailed } from '../peers/peers.ts';
import { openDoor, type S3Door } from './s3-door.ts';
import { chunk, identity, type World } from './world.ts';

const signal = new AbortController().signal;
/**
 * What may end a command that others cross; anything else is a defect. Packs that it was about to write again may be gone when
 * another maintainer has dropped what was in them: whether anybody needed it, the checker tells.
 */
const mayEnd: readonly (readonly [code: string, text: RegExp])[] = [
  ['clock', /clock skew detected/],
  // The deleter was faster.
  ['snapshot-gone', /no snapshots matched/],
  ['blob-not-found', /failed to rewrite \d+ contents/],
];
/**
 * An index blob that kopia has listed and another has removed since, kopia asks for ten times within a minute of real time, from
 * the list that it keeps for twenty minutes, and then it ends. Here it is ended when it asks for the third time.
 */
const missingMax = 3;
/**
 * A content is not found while its index blob is not listed yet, though that of the snapshot that needs it is: then the
 * command ends and no harm is done. One that is not found for longer than listings are late, and than kopia goes by
 * one of them, is lost to kopia.
 */
const notFoundText = /content info for ([0-9a-z]+): content not found/g;
const notFoundMsMax = 60 * 60_000;

export interface KopiaActorParts {
  readonly world: World;
  /** The world's, or a layer around it. */
  readonly store: BlobStore;
  /** The path of `kopia-clock`. */
  readonly program: string;
  /** Called before each of its requests is served. What it throws is what its command throws. */
  readonly before: () => Promise<void>;
}

export class KopiaActor implements AsyncDisposable {
  readonly #parts: KopiaActorParts;
  readonly #source: string;
  readonly #resources = new AsyncDisposableStack();
  /** What was thrown while kopia waited for an answer. */
  readonly #failures: unknown[] = [];
  /** How often the present command has asked for an index blob that is not there. */
  readonly #missing = new Map<string, number>();
  /** Contents that kopia did not find, and when it said so first, since its last full maintenance. */
  readonly #notFound = new Map<string, number>();
  #stop = new AbortController();
  #client: KopiaClient | undefined;
  #door: S3Door | undefined;

  private constructor(parts: KopiaActorParts) {
    this.#parts = parts;
    this.#source = join(parts.world.folder, 'kopia-source');
  }

  static async open(parts: KopiaActorParts): Promise<KopiaActor> {
    const actor = new KopiaActor(parts);
    actor.#client = await actor.#connect();
    return actor;
  }

  async #connect(): Promise<KopiaClient> {
    await mkdir(join(this.#source, 'odd'), { recursive: true });
    const { world, store, program } = this.#parts;
    const before = async (method: string, key: string): Promise<void> => await this.#before(method, key);
    const door = this.#resources.use(await openDoor({ store, clock: world.clock, before }));
    this.#door = door;
    const client = this.#resources.use(await KopiaClient.open(program, '', { clockUrl: door.clockUrl }));
    const place = ['--bucket=bucket', `--endpoint=${door.endpoint}`, '--disable-tls', '--region=us-east-1'];
    // The cached format blob's age is told by its file, whose time is not the simulation's: it would be read all the time.
    const keys = ['--access-key=any', '--secret-access-key=any'];
    // So would listings of index blobs without epochs, which kopia believes for half a minute.
    const options = [...keys, '--disable-repository-format-cache', '--max-list-cache-duration=0s'];
    const owner = { user: identity.userName, host: identity.host };
    await client.connectTo(['s3', ...place, ...options], { password: world.password, identity: owner });
    return client;
  }

  /** A snapshot of a folder with one file for each chunk, those of odd number in a folder below. Files that were there before are not touched. */
  async snapshot(chunks: ReadonlySet<number>): Promise<string | undefined> {
    const paths = new Map([...chunks].map((n) => [n % 2 === 1 ? join('odd', `f${n}`) : `f${n}`, n]));
    const known = (await readdir(this.#source, { recursive: true })).filter((path) => path !== 'odd');
    for (const path of known) if (!paths.delete(path)) await rm(join(this.#source, path));
    for (const [path, n] of paths) await writeFile(join(this.#source, path), chunk(n));
    return await this.#run(['snapshot', 'create', this.#source]);
  }

  async delete(id: SnapshotId): Promise<string | undefined> {
    return await this.#run(['snapshot', 'delete', id, '--delete']);
  }

  async maintain(mode: 'auto' | 'full'): Promise<string | undefined> {
    return await this.#run(['maintenance', 'run', ...(mode === 'full' ? ['--full'] : [])]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  async #before(method: string, key: string): Promise<void> {
    try {
      await this.#parts.before();
    } catch (error) {
      this.#failures.push(error);
      this.#stop.abort();
      throw error;
    }
    if (method !== 'GET' || !/^[xnml]/.test(key)) return;
    try {
      await this.#parts.store.stat(blobId(key), { signal });
    } catch (error) {
      if (!hasCode(error, 'blob-not-found')) throw error;
      const times = (this.#missing.get(key) ?? 0) + 1;
      this.#missing.set(key, times);
      if (times >= missingMax) this.#stop.abort();
    }
  }

  /** Whether the failure is one of contents that were not found, none of them for too long. */
  #isNotFoundYet(stderr: string): boolean {
    const ids = [...stderr.matchAll(notFoundText)].map(([, id = '']) => id);
    const nowMs = this.#parts.world.clock.nowMs();
    for (const id of ids) this.#notFound.set(id, this.#notFound.get(id) ?? nowMs);
    return ids.length > 0 && ids.every((id) => nowMs - this.#notFound.get(id)! <= notFoundMsMax);
  }

  /** @returns what ended it early, of what may */
  async #run(args: readonly string[]): Promise<string | undefined> {
    this.#stop = new AbortController();
    this.#missing.clear();
    try {
      assert.ok(this.#client !== undefined);
      await this.#client.run(args, { signal: this.#stop.signal });
      if (args.includes('--full')) this.#notFound.clear();
      return undefined;
    } catch (error) {
      if (this.#failures.length > 0) throw this.#failures[0];
      if (this.#stop.signal.aborted) return 'index-blob-gone';
      if (error instanceof KopiaFailed && this.#isNotFoundYet(error.stderr)) return 'content-not-found';
      const known = mayEnd.find(([, text]) => error instanceof KopiaFailed && text.test(error.stderr));
      if (known === undefined) throw error;
      return known[0];
    } finally {
      // What was asked for before it ended still takes effect.
      await this.#door?.idle();
    }
  }
}
