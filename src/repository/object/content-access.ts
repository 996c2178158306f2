/** What objects need of contents: read one by id, write one under the id of its bytes. Implemented by the repository. */
import type { ContentId, ContentPrefix } from '../content/content-id.ts';

export interface ContentReader {
  /**
   * The plaintext of a content, verified; read-only for the caller.
   * @throws {RepositoryError} `content-missing`, `corrupt`
   */
  read(id: ContentId, options: { readonly signal: AbortSignal }): Promise<Uint8Array>;
}

export interface ContentWriter {
  /**
   * Stores a plaintext unless it is there already; durable at the next flush. `plain` belongs to the call until the
   * promise settles.
   */
  write(prefix: ContentPrefix, plain: Uint8Array, options: { readonly signal: AbortSignal }): Promise<ContentId>;
}
