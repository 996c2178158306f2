/** One node of a volume tree: an ordinary indirect object over up to 64 leaves of 1 MiB. */
import type { ContentId } from '../content/content-id.ts';
import type { ContentReader, ContentWriter } from '../object/content-access.ts';
import { decodeIndirect, encodeIndirect } from '../object/indirect.ts';
import { directContent, directObjectId, indirectObjectId, isIndirect, listOf } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import { RepositoryError } from '../repository-error.ts';
import { leafBytes, leafCount, leafLength } from './volume-layout.ts';

export interface NodeLeaves {
  /** One for every MiB of `lengthBytes`; the last leaf may be short. */
  readonly leaves: readonly ContentId[];
  readonly lengthBytes: number;
  readonly signal: AbortSignal;
}

export async function writeNode(writer: ContentWriter, { leaves, lengthBytes, signal }: NodeLeaves): Promise<ObjectId> {
  const entries = leaves.map((id, leaf) => ({
    offset: leaf * leafBytes,
    lengthBytes: leafLength(leaf, lengthBytes),
    objectId: directObjectId(id),
  }));
  return indirectObjectId(directObjectId(await writer.write('x', encodeIndirect(entries), { signal })));
}

/** The leaves of a node. @throws {RepositoryError} `corrupt` when it is not exactly a node of this length */
export async function readNode(
  reader: ContentReader,
  {
    node,
    lengthBytes,
    signal,
  }: { readonly node: ObjectId; readonly lengthBytes: number; readonly signal: AbortSignal },
): Promise<ContentId[]> {
  const list = listOf(node);
  if (list === undefined || isIndirect(list)) throw corrupt(node, 'is none');
  const entries = decodeIndirect(await reader.read(directContent(list), { signal }));
  if (entries.length !== leafCount(lengthBytes)) throw corrupt(node, `has ${entries.length} leaves`);
  return entries.map((entry, leaf) => {
    if (entry.lengthBytes !== leafLength(leaf, lengthBytes)) throw corrupt(node, `leaf ${leaf} has another length`);
    if (isIndirect(entry.objectId)) throw corrupt(node, `leaf ${leaf} is no content`);
    return directContent(entry.objectId);
  });
}

function corrupt(node: ObjectId, what: string): RepositoryError {
  return new RepositoryError('corrupt', `volume tree: node ${node} ${what}`);
}
