/**
 * The list of a volume tree as text: one JSON document, cut after every 2,048 entries. Each piece ends with the comma
 * behind its last entry; the first begins with the document's head, the last ends with its tail. So a piece depends on
 * nothing but the ids of its own nodes, its place, and whether it is the last one. Format: docs/formats, volume tree.
 */
import type { ContentId } from '../content/content-id.ts';
import type { ContentReader, ContentWriter } from '../object/content-access.ts';
import { decodeIndirect, encodeEntry, encodeIndirect, indirectHead, indirectTail } from '../object/indirect.ts';
import { directContent, directObjectId, indirectObjectId, isIndirect, listOf } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import { RepositoryError } from '../repository-error.ts';
import { entriesOfPiece, listEntries, nodeBytes, nodeLength, pieceBytes, pieceCount } from './volume-layout.ts';

/** A tree in the layout `tree-1`; its size is not to be had from the tree without reading it. */
export interface TreeRef {
  readonly object: ObjectId;
  readonly sizeBytes: number;
}

/** One piece of the list as it is stored. The length of an only piece is not known before it is read. */
export interface ListPiece {
  readonly contentId: ContentId;
  readonly lengthBytes: number | undefined;
}

interface Call {
  readonly signal: AbortSignal;
}

export function encodePiece(
  piece: number,
  { nodes, sizeBytes }: { nodes: readonly ObjectId[]; sizeBytes: number },
): Uint8Array {
  const parts = nodes.map((objectId, index) => {
    const node = piece * listEntries + index;
    return encodeEntry({ offset: node * nodeBytes, lengthBytes: nodeLength(node, sizeBytes), objectId });
  });
  const head = piece === 0 ? indirectHead : '';
  const tail = piece === pieceCount(sizeBytes) - 1 ? indirectTail : ',';
  return Buffer.from(head + parts.join(',') + tail, 'latin1');
}

/** The node ids of a piece. @throws {RepositoryError} `corrupt` when it is not exactly a piece of this layout */
export function decodePiece(piece: number, { bytes, sizeBytes }: { bytes: Uint8Array; sizeBytes: number }): ObjectId[] {
  const head = piece === 0 ? '' : indirectHead;
  const last = piece === pieceCount(sizeBytes) - 1;
  const text = last ? bytes : bytes.subarray(0, -1);
  if (!last && bytes.at(-1) !== 0x2c) throw corrupt(piece, 'does not end after an entry');
  const parts = [Buffer.from(head), text, Buffer.from(last ? '' : indirectTail)];
  const entries = decodeIndirect(Buffer.concat(parts), { startOffset: piece * pieceBytes });
  if (entries.length !== entriesOfPiece(piece, sizeBytes)) throw corrupt(piece, `has ${entries.length} entries`);
  for (const [index, entry] of entries.entries()) {
    const expected = nodeLength(piece * listEntries + index, sizeBytes);
    if (entry.lengthBytes !== expected || !isIndirect(entry.objectId))
      throw corrupt(piece, `entry ${index} is no node`);
  }
  return entries.map((entry) => entry.objectId);
}

const cachedPieces = 4;

/** The list of a stored tree, read piece by piece when it is asked for; the last few pieces are kept. */
export class TreeList {
  readonly sizeBytes: number;
  readonly #reader: ContentReader;
  readonly #tree: TreeRef;
  readonly #signal: AbortSignal;
  readonly #nodes = new Map<number, Promise<readonly ObjectId[]>>();
  #pieces: Promise<readonly ListPiece[]> | undefined;

  constructor(reader: ContentReader, tree: TreeRef, { signal }: Call) {
    this.#reader = reader;
    this.#tree = tree;
    this.#signal = signal;
    this.sizeBytes = tree.sizeBytes;
  }

  /** Where a piece is; reads at most one content. @throws {RepositoryError} `corrupt` when this is no tree of this size */
  async piece(piece: number): Promise<ListPiece> {
    this.#pieces ??= readListPieces(this.#reader, this.#tree, { signal: this.#signal });
    return (await this.#pieces)[piece]!;
  }

  /** The node ids of a piece. @throws {RepositoryError} `corrupt`, `content-missing` */
  async nodes(piece: number): Promise<readonly ObjectId[]> {
    let nodes = this.#nodes.get(piece);
    if (nodes === undefined) {
      nodes = this.#read(piece);
      if (this.#nodes.size >= cachedPieces) this.#nodes.delete(this.#nodes.keys().next().value!);
      this.#nodes.set(piece, nodes);
    }
    return await nodes;
  }

  async #read(piece: number): Promise<readonly ObjectId[]> {
    const { contentId } = await this.piece(piece);
    const bytes = await this.#reader.read(contentId, { signal: this.#signal });
    return decodePiece(piece, { bytes, sizeBytes: this.sizeBytes });
  }
}

async function readListPieces(reader: ContentReader, { object, sizeBytes }: TreeRef, call: Call): Promise<ListPiece[]> {
  const list = listOf(object);
  if (list === undefined) throw notATree(object, 'it has no list');
  const outer = listOf(list);
  const expected = pieceCount(sizeBytes);
  if (outer === undefined) {
    if (expected !== 1) throw notATree(object, `its list should have ${expected} pieces`);
    return [{ contentId: directContent(list), lengthBytes: undefined }];
  }
  const entries = decodeIndirect(await reader.read(directContent(outer), call));
  if (entries.length !== expected || expected === 1) throw notATree(object, `its list has ${entries.length} pieces`);
  return entries.map(({ objectId, lengthBytes }) => ({ contentId: pieceContent(objectId), lengthBytes }));
}

/** Writes what names the pieces and returns the tree's object id. */
export async function writeListRoot(
  writer: ContentWriter,
  pieces: readonly ListPiece[],
  call: Call,
): Promise<ObjectId> {
  if (pieces.length === 1) return indirectObjectId(directObjectId(pieces[0]!.contentId));
  let offset = 0;
  const entries = pieces.map((piece) => {
    const lengthBytes = piece.lengthBytes ?? 0;
    const entry = { offset, lengthBytes, objectId: directObjectId(piece.contentId) };
    offset += lengthBytes;
    return entry;
  });
  const outer = await writer.write('x', encodeIndirect(entries), call);
  return indirectObjectId(indirectObjectId(directObjectId(outer)));
}

function pieceContent(id: ObjectId): ContentId {
  if (isIndirect(id)) throw new RepositoryError('corrupt', `volume tree: piece ${id} of the list is no content`);
  return directContent(id);
}

function corrupt(piece: number, what: string): RepositoryError {
  return new RepositoryError('corrupt', `volume tree: piece ${piece} of the list ${what}`);
}

function notATree(object: ObjectId, what: string): RepositoryError {
  return new RepositoryError('corrupt', `volume tree ${object}: ${what}`);
}
