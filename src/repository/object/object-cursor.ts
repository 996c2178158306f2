/**
 * A place in an object that is looked at part by part: a part is skipped whole, or opened when it is itself a list.
 * Two cursors side by side compare two objects and read only what differs.
 */
import { RepositoryError } from '../repository-error.ts';
import type { ContentReader } from './content-access.ts';
import type { IndirectEntry } from './indirect.ts';
import { entriesOf } from './object-entries.ts';
import { isIndirect } from './object-id.ts';
import type { ObjectId } from './object-id.ts';

export interface Part {
  readonly offset: number;
  /** Exclusive; always past `offset`. */
  readonly end: number;
  readonly objectId: ObjectId;
}

type Batches = AsyncIterator<readonly IndirectEntry[]> | Iterator<readonly IndirectEntry[]>;

interface Frame {
  readonly batches: Batches;
  /** Added to the offsets of its entries. */
  readonly base: number;
  /** Where its last entry must end; undefined for the outermost. */
  readonly end: number | undefined;
  entries: readonly IndirectEntry[];
  next: number;
  at: number;
}

const nestingMax = 4;

export class ObjectCursor implements AsyncDisposable {
  /** The present part; undefined at the end. */
  part: Part | undefined;
  readonly #reader: ContentReader;
  readonly #signal: AbortSignal;
  readonly #frames: Frame[] = [];

  constructor(reader: ContentReader, { signal }: { readonly signal: AbortSignal }) {
    this.#reader = reader;
    this.#signal = signal;
  }

  /** Begins at the first part of a whole object. The length is needed, and believed, for one that is a single content. */
  async openObject(object: ObjectId, lengthBytes: number): Promise<void> {
    if (isIndirect(object))
      this.#push(entriesOf(this.#reader, object, { signal: this.#signal }), { base: 0, end: undefined });
    else this.#push([[{ offset: 0, lengthBytes, objectId: object }]].values(), { base: 0, end: undefined });
    await this.next();
  }

  /** Begins at the first of these entries. */
  async openEntries(entries: readonly IndirectEntry[]): Promise<void> {
    this.#push([entries].values(), { base: 0, end: undefined });
    await this.next();
  }

  /** Goes to the part behind the present one, wherever that lies. */
  async next(): Promise<void> {
    while (!this.#advance()) {
      const frame = this.#frames.at(-1);
      if (frame === undefined) return;
      const result = await frame.batches.next();
      if (result.done !== true) {
        frame.entries = result.value;
        frame.next = 0;
        continue;
      }
      if (frame.end !== undefined && frame.end !== frame.at) {
        throw new RepositoryError('corrupt', `list: a nested object ends at ${frame.at} instead of ${frame.end}`);
      }
      this.#frames.pop();
    }
  }

  /** Goes to the first part inside the present one, which must be a list. */
  async enter(): Promise<void> {
    const { objectId, offset, end } = this.part!;
    if (this.#frames.length > nestingMax)
      throw new RepositoryError('corrupt', `list: ${objectId} is nested too deeply`);
    this.#push(entriesOf(this.#reader, objectId, { signal: this.#signal }), { base: offset, end });
    await this.next();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { batches } of this.#frames) await batches.return?.();
  }

  #push(batches: Batches, { base, end }: { readonly base: number; readonly end: number | undefined }): void {
    this.#frames.push({ batches, base, end, entries: [], next: 0, at: base });
  }

  /** False when the innermost list has to be read on. Sets the part, or clears it when no list is left. */
  #advance(): boolean {
    const frame = this.#frames.at(-1);
    this.part = undefined;
    if (frame === undefined) return true;
    while (frame.next < frame.entries.length) {
      const { offset, lengthBytes, objectId } = frame.entries[frame.next]!;
      frame.next += 1;
      frame.at = frame.base + offset + lengthBytes;
      if (lengthBytes === 0) continue;
      this.part = { offset: frame.base + offset, end: frame.at, objectId };
      return true;
    }
    return false;
  }
}
