/**
 * Marks every content that snapshots need: the contents of folders, files and links, and of the lists between them
 * (Kopia `snapshotgc` findInUseContentIDs). By ids: what two snapshots share is walked once. What has been walked is told
 * apart by what it was walked as, because the same bytes may be a file in one place and a list in another.
 *
 * Nothing is passed over. A folder that cannot be read, a list that names what the index does not have: the walk fails, and
 * nothing may then be called unused.
 */
import type { ContentId } from '../repository/content/content-id.ts';
import type { IndexMarks, Mark } from '../repository/index/index-marks.ts';
import { decodeDirectory } from '../repository/manifest/directory.ts';
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import { directoryEntries } from '../repository/manifest/directory-entries.ts';
import type { Snapshot } from '../repository/manifest/snapshot.ts';
import type { ContentReader } from '../repository/object/content-access.ts';
import { entriesOf } from '../repository/object/object-entries.ts';
import { readObject } from '../repository/object/object-reader.ts';
import { contentOf, isCompressed, isIndirect, listOf, type ObjectId } from '../repository/object/object-id.ts';
import { RepositoryError } from '../repository/repository-error.ts';

/** Folders within folders, and lists within lists. Deeper ones stop the walk. */
const depthMax = 1000;
const nestingMax = 64;
const listingBytesMax = 512 * 1024 * 1024;
/** Objects of several levels that are remembered as walked; more are walked again. */
const rememberedMax = 100_000;

export class UsedContents {
  readonly #reader: ContentReader;
  readonly #marks: IndexMarks;
  readonly #signal: AbortSignal;
  /** Objects that no single content stands for. */
  readonly #walked = new Set<string>();

  constructor(reader: ContentReader, marks: IndexMarks, { signal }: { readonly signal: AbortSignal }) {
    this.#reader = reader;
    this.#marks = marks;
    this.#signal = signal;
  }

  /** @throws {RepositoryError} `content-missing`, `corrupt`, `unsupported`; {BlobError} */
  async addSnapshot({ id, rootEntry }: Pick<Snapshot, 'id' | 'rootEntry'>): Promise<void> {
    try {
      await this.#entry(rootEntry, 0);
    } catch (cause) {
      if (!(cause instanceof RepositoryError)) throw cause;
      throw new RepositoryError(cause.code, `walk snapshot ${id}`, { cause });
    }
  }

  async #entry({ type, object }: DirEntry, depth: number): Promise<void> {
    this.#signal.throwIfAborted();
    await this.#object(object, 0);
    if (type !== 'd' || !this.#isNew(object, 'directory')) return;
    if (depth > depthMax) throw new RepositoryError('corrupt', `folders are nested more than ${depthMax} deep`);
    for await (const entries of this.#listing(object)) {
      for (const entry of entries) await this.#entry(entry, depth + 1);
    }
  }

  async *#listing(object: ObjectId): AsyncGenerator<readonly DirEntry[]> {
    if (!isCompressed(object)) {
      yield* directoryEntries(this.#reader, object, { signal: this.#signal });
      return;
    }
    const bytes = await readObject(this.#reader, object, { maxBytes: listingBytesMax, signal: this.#signal });
    yield decodeDirectory(bytes).entries;
  }

  /** The contents of an object, and of its lists. */
  async #object(object: ObjectId, nesting: number): Promise<void> {
    this.#use(contentOf(object));
    const list = listOf(object);
    if (list === undefined || !this.#isNew(object, 'list')) return;
    this.#signal.throwIfAborted();
    if (nesting > nestingMax) throw new RepositoryError('corrupt', `lists are nested more than ${nestingMax} deep`);
    await this.#object(list, nesting + 1);
    for await (const members of entriesOf(this.#reader, object, { signal: this.#signal })) {
      for (const { objectId } of members) {
        if (isIndirect(objectId)) await this.#object(objectId, nesting + 1);
        else this.#use(contentOf(objectId));
      }
    }
  }

  #use(id: ContentId): void {
    if (this.#marks.mark(id, 'used') !== 'missing') return;
    throw new RepositoryError('content-missing', `no index entry for content ${id}`);
  }

  /**
   * Whether what the object names has not been walked. A plain folder is one content, and so is the list of a plain file:
   * their mark tells. Other shapes are remembered by their whole id, which says the level.
   */
  #isNew(object: ObjectId, mark: Exclude<Mark, 'used'>): boolean {
    const plain = mark === 'list' ? listOf(object) : object;
    if (plain !== undefined && !isIndirect(plain) && !isCompressed(plain)) {
      return this.#marks.mark(contentOf(plain), mark) === 'first';
    }
    const key = `${mark} ${object}`;
    if (this.#walked.has(key)) return false;
    if (this.#walked.size < rememberedMax) this.#walked.add(key);
    return true;
  }
}
