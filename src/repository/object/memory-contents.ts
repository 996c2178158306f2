/** Contents in a Map, under the SHA-256 of their bytes: the repository of unit tests. */
import { createHash } from 'node:crypto';

import { contentIdOf } from '../content/content-id.ts';
import type { ContentId, ContentPrefix } from '../content/content-id.ts';
import { RepositoryError } from '../repository-error.ts';
import type { ContentReader, ContentWriter } from './content-access.ts';

export class MemoryContents implements ContentReader, ContentWriter {
  readonly contents: Map<ContentId, Uint8Array> = new Map();
  /** Every id read, in order. */
  readonly reads: ContentId[] = [];
  /** Every id written, in order, also when it was there. */
  readonly writes: ContentId[] = [];

  async read(id: ContentId): Promise<Uint8Array> {
    this.reads.push(id);
    const bytes = this.contents.get(id);
    if (bytes === undefined) throw new RepositoryError('content-missing', `content ${id}`);
    return bytes;
  }

  async write(prefix: ContentPrefix, plain: Uint8Array): Promise<ContentId> {
    return this.put(prefix, plain);
  }

  put(prefix: ContentPrefix, plain: Uint8Array): ContentId {
    const id = contentIdOf(prefix, createHash('sha256').update(plain).digest());
    this.writes.push(id);
    if (!this.contents.has(id)) this.contents.set(id, Uint8Array.from(plain));
    return id;
  }
}
