import { dirname } from 'node:path';
import { isErrno, makeDirectories, syncDirectory } from '../../std/atomic-write.ts';

const directoryMode = 0o700;

/**
 * The shard directories of one store. Making one is shared by those who need it at the same time: a blob may not be
 * called durable while the directory that holds it is not, even if another call is making it.
 */
export class BlobDirectories {
  readonly #root: string;
  readonly #making = new Map<string, Promise<void>>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Runs `create`, which makes a file at `path`; when its directory is missing, makes that first and runs it again. */
  async creating<T>(path: string, create: () => Promise<T>): Promise<T> {
    const directory = dirname(path);
    await this.#making.get(directory);
    try {
      return await create();
    } catch (error) {
      // A root that is gone (an unmounted disk) must not be made anew: the blobs would land beside it.
      if (!isErrno(error, 'ENOENT') || directory === this.#root) throw error;
    }
    await this.#make(directory);
    return await create();
  }

  /** Makes the names in the directory of `path` durable. */
  async sync(path: string): Promise<void> {
    await syncDirectory(dirname(path));
  }

  async #make(directory: string): Promise<void> {
    let making = this.#making.get(directory);
    if (making === undefined) {
      making = this.#makeBelowRoot(directory).finally(() => this.#making.delete(directory));
      this.#making.set(directory, making);
    }
    await making;
  }

  async #makeBelowRoot(directory: string): Promise<void> {
    const parent = dirname(directory);
    if (parent !== this.#root) await this.#make(parent);
    else await syncDirectory(parent);
    await makeDirectories(directory, { mode: directoryMode });
  }
}
