/**
 * Walking any object that Kopia, Velero or we wrote down to its contents, in order, in memory that does not depend on
 * its size: direct, `Ix`, `IIx`, nested nodes, concatenations with empty members. Only lists are read, never data.
 * Nodes that repeat (holes) are read once, and equal neighbours come out as one run, so that a hole of 16 TiB costs
 * one comparison per 64 MiB. Lengths are checked on the way: a nested object is exactly as long as its entry says,
 * which also bounds the walk.
 */
import type { Extent } from '../../volume/extent.ts';
import { extentEnd } from '../../volume/extent.ts';
import { decompressChunk } from '../content/compression.ts';
import { RepositoryError } from '../repository-error.ts';
import type { ContentReader } from './content-access.ts';
import type { IndirectEntry } from './indirect.ts';
import { RunBuffer, trimRun } from './leaf-run.ts';
import type { LeafRun } from './leaf-run.ts';
import { chunkBytesMax, entriesOf, readDirect } from './object-entries.ts';
import { contentOf, directContent, isCompressed, isIndirect } from './object-id.ts';
import type { ObjectId } from './object-id.ts';

export interface LeavesOptions {
  /** Only leaves that touch this range; what lies before is skipped without being read. */
  readonly within?: Extent | undefined;
  /** Leaves of format version 1 that are compressed; they are refused unless the caller undoes that. */
  readonly compressed?: boolean | undefined;
  readonly signal: AbortSignal;
}

const batchRunsMax = 256;
/** Nodes below the root; Kopia and Velero use one. */
const nestingMax = 3;
const cachedNodes = 64;
const cachedRunsMax = 4_096;
/** Lists of coming nodes that are read ahead, to hide a store's latency. */
const readAheadNodes = 4;

/**
 * The leaves of an object in order, in batches of 1 to 256 runs. Empty members are skipped; an empty object yields
 * nothing. The length of a direct root is learned by reading it.
 * @throws {RepositoryError} `corrupt`, `content-missing`, `unsupported`
 */
export async function* leaves(
  reader: ContentReader,
  object: ObjectId,
  { within, compressed = false, signal }: LeavesOptions,
): AsyncGenerator<readonly LeafRun[]> {
  if (!isIndirect(object)) {
    const run = await directRun(reader, leafOf(object, compressed), signal);
    const part = run === undefined || within === undefined ? run : trimRun(run, within);
    if (part !== undefined) yield [part];
    return;
  }
  const stop = new AbortController();
  const walk = new Walk(reader, AbortSignal.any([signal, stop.signal]), { within, compressed });
  try {
    for await (const _ of walk.object(object, { base: 0, depth: 0 })) {
      while (walk.found.size >= batchRunsMax) yield* batches(walk.found.take());
      signal.throwIfAborted();
    }
    yield* batches(walk.found.end());
  } catch (error) {
    // Who goes on behind the damage does not come back for what lies before it.
    if (!signal.aborted) yield* batches(walk.found.end());
    throw error;
  } finally {
    stop.abort();
    await walk.settled();
  }
}

/**
 * A small object whole. @throws {RepositoryError} `corrupt`, also when it is longer than `maxBytes`; `content-missing`
 */
export async function readObject(
  reader: ContentReader,
  object: ObjectId,
  { maxBytes, signal }: { readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let lengthBytes = 0;
  const add = (piece: Uint8Array): void => {
    lengthBytes += piece.length;
    if (lengthBytes > maxBytes)
      throw new RepositoryError('corrupt', `object ${object} is longer than ${maxBytes} bytes`);
    pieces.push(piece);
  };
  if (isIndirect(object)) {
    for await (const batch of leaves(reader, object, { compressed: true, signal })) {
      for (const run of batch) {
        for (let index = 0; index < run.repeat; index += 1) add(await readRun(reader, run, { signal }));
      }
    }
  } else {
    add(await readDirect(reader, object, { maxBytes: Math.min(maxBytes, chunkBytesMax), signal }));
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

/** A nested object that was read: its leaves from 0 on, and its length. */
interface Node {
  readonly runs: readonly LeafRun[];
  readonly lengthBytes: number;
}

class Walk {
  readonly found = new RunBuffer();
  readonly #reader: ContentReader;
  readonly #signal: AbortSignal;
  readonly #within: Extent | undefined;
  readonly #compressed: boolean;
  readonly #nodes = new Map<ObjectId, Node>();
  readonly #reading = new Map<ObjectId, Promise<Node | undefined>>();

  constructor(
    reader: ContentReader,
    signal: AbortSignal,
    { within, compressed }: { readonly within: Extent | undefined; readonly compressed: boolean },
  ) {
    this.#reader = reader;
    this.#signal = signal;
    this.#within = within;
    this.#compressed = compressed;
  }

  /** Walks an indirect object that begins at `base`; yields when leaves may be taken out of `found`. */
  async *object(object: ObjectId, { base, depth }: { base: number; depth: number }): AsyncGenerator<undefined, number> {
    let end = base;
    for await (const entries of entriesOf(this.#reader, object, { signal: this.#signal })) {
      for (let index = 0; index < entries.length; index += 1) {
        const entry = entries[index]!;
        const offset = base + entry.offset;
        end = offset + entry.lengthBytes;
        if (this.#within !== undefined && offset >= extentEnd(this.#within)) return end;
        if (this.#skips(offset, entry)) continue;
        if (!isIndirect(entry.objectId)) {
          this.#leaf(offset, entry);
        } else {
          const node = this.#nodes.get(entry.objectId) ?? (await this.#ahead(entries, index, depth + 1));
          if (node !== undefined) this.#place(offset, node, entry);
          else yield* this.#nested(offset, entry, depth + 1);
        }
        if (this.found.size >= batchRunsMax) yield;
      }
      yield;
    }
    return end;
  }

  /** Resolves when nothing that this walk began is still under way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#reading.values());
  }

  #skips(offset: number, entry: IndirectEntry): boolean {
    if (entry.lengthBytes === 0) {
      // Concatenation leaves empty members, but only direct ones; a nested one could multiply forever.
      if (isIndirect(entry.objectId))
        throw new RepositoryError('corrupt', `list: empty nested object ${entry.objectId}`);
      return true;
    }
    return this.#within !== undefined && offset + entry.lengthBytes <= this.#within.offset;
  }

  #leaf(offset: number, entry: IndirectEntry): void {
    this.#add({ offset, ...memberOf(entry, this.#compressed) });
  }

  #add(run: LeafRun): void {
    const part = this.#within === undefined ? run : trimRun(run, this.#within);
    if (part !== undefined) this.found.add(part.offset, part);
  }

  #place(offset: number, node: Node, entry: IndirectEntry): void {
    checkLength(entry, node.lengthBytes);
    const inside = this.#within === undefined;
    for (const run of node.runs) {
      if (inside) this.found.add(offset + run.offset, run);
      else this.#add({ ...run, offset: offset + run.offset });
    }
  }

  /** The node at `index`, while the next few begin to be read; undefined when it is too large to be kept. */
  async #ahead(entries: readonly IndirectEntry[], index: number, depth: number): Promise<Node | undefined> {
    for (let next = index; next < entries.length && next <= index + readAheadNodes; next += 1) {
      const { objectId, offset } = entries[next]!;
      if (this.#within !== undefined && next > index && offset >= extentEnd(this.#within)) break;
      if (!isIndirect(objectId) || this.#nodes.has(objectId) || this.#reading.has(objectId)) continue;
      const reading = this.#node(objectId, depth);
      reading.catch(() => undefined);
      this.#reading.set(objectId, reading);
    }
    const { objectId } = entries[index]!;
    const node = await this.#reading.get(objectId)!;
    this.#reading.delete(objectId);
    if (node !== undefined) this.#keep(objectId, node);
    return node;
  }

  #keep(object: ObjectId, node: Node): void {
    if (this.#nodes.size >= cachedNodes) this.#nodes.delete(this.#nodes.keys().next().value!);
    this.#nodes.set(object, node);
  }

  /** Reads a node of direct leaves, as ours and Velero's are; undefined when it is deeper or larger. */
  async #node(object: ObjectId, depth: number): Promise<Node | undefined> {
    if (depth > nestingMax) throw new RepositoryError('corrupt', `list: ${object} is nested too deeply`);
    const buffer = new RunBuffer();
    let lengthBytes = 0;
    for await (const entries of entriesOf(this.#reader, object, { signal: this.#signal })) {
      for (const entry of entries) {
        if (isIndirect(entry.objectId) || buffer.size > cachedRunsMax) return undefined;
        lengthBytes = entry.offset + entry.lengthBytes;
        if (entry.lengthBytes === 0) continue;
        buffer.add(entry.offset, memberOf(entry, this.#compressed));
      }
    }
    return { runs: buffer.end(), lengthBytes };
  }

  async *#nested(offset: number, entry: IndirectEntry, depth: number): AsyncGenerator<undefined> {
    const end = yield* this.object(entry.objectId, { base: offset, depth });
    const complete = this.#within === undefined || end < extentEnd(this.#within);
    if (complete) checkLength(entry, end - offset);
  }
}

function checkLength(entry: IndirectEntry, lengthBytes: number): void {
  if (lengthBytes === entry.lengthBytes) return;
  const found = `object ${entry.objectId} has ${lengthBytes} bytes`;
  throw new RepositoryError('corrupt', `${found}, the list that names it says ${entry.lengthBytes}`);
}

type Leaf = Pick<LeafRun, 'contentId' | 'compressed'>;

/** @throws {RepositoryError} `unsupported` for what is compressed, unless that is wanted */
function leafOf(object: ObjectId, compressed: boolean): Leaf {
  if (compressed && isCompressed(object)) return { contentId: contentOf(object), compressed: true };
  return { contentId: directContent(object) };
}

function memberOf({ lengthBytes, objectId }: IndirectEntry, compressed: boolean): Omit<LeafRun, 'offset'> {
  const leaf = leafOf(objectId, compressed);
  // Nothing else bounds what a list says of the length of what is compressed.
  if (leaf.compressed === true && lengthBytes > chunkBytesMax) {
    throw new RepositoryError('corrupt', `list: ${objectId} cannot have ${lengthBytes} bytes`);
  }
  return { lengthBytes, ...leaf, repeat: 1 };
}

async function directRun(reader: ContentReader, leaf: Leaf, signal: AbortSignal): Promise<LeafRun | undefined> {
  const { length } = await readLeaf(reader, leaf, { maxBytes: chunkBytesMax, signal });
  return length === 0 ? undefined : { offset: 0, lengthBytes: length, ...leaf, repeat: 1 };
}

/** One leaf of a run. @throws {RepositoryError} `corrupt`, also when it has another length; `content-missing` */
export async function readRun(
  reader: ContentReader,
  run: LeafRun,
  { signal }: { readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const maxBytes = Math.min(run.lengthBytes, chunkBytesMax);
  const bytes = await readLeaf(reader, run, { maxBytes, signal });
  if (bytes.length === run.lengthBytes) return bytes;
  const found = `content ${run.contentId} has ${bytes.length} bytes`;
  throw new RepositoryError('corrupt', `${found}, the list that names it says ${run.lengthBytes}`);
}

async function readLeaf(
  reader: ContentReader,
  { contentId, compressed = false }: Leaf,
  { maxBytes, signal }: { readonly maxBytes: number; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const bytes = await reader.read(contentId, { signal });
  return compressed ? decompressChunk(bytes, maxBytes) : bytes;
}

function* batches(runs: readonly LeafRun[]): Generator<readonly LeafRun[]> {
  for (let start = 0; start < runs.length; start += batchRunsMax) yield runs.slice(start, start + batchRunsMax);
}
