import { directoryEntries } from '../../repository/manifest/directory-entries.ts';
import type { DirEntry } from '../../repository/manifest/dir-entry.ts';
import { findEntry, parseSnapshotPath } from '../../repository/manifest/find-entry.ts';
import { resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import type { Repository } from '../../repository/repository.ts';
import { RepositoryError } from '../../repository/repository-error.ts';
import { formatGoTime } from '../../std/go-time.ts';
import { posixMode } from '../../transfer/entry-attributes.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { printable } from '../shell/printable.ts';
import { shortTime } from '../shell/short-time.ts';
import type { SnapshotLsOptions } from '../snapshot-ls.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';

/** The stable fields of an entry in JSON. */
interface EntryRow {
  /** From what was asked for on. Anything that the repository says: no path to write to. */
  readonly path: string;
  readonly type: 'file' | 'folder' | 'link' | 'other';
  readonly sizeBytes: number;
  /** Octal, as `chmod` takes it. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  readonly modified: string;
  readonly object: string;
}

/** As deep as a restore goes. */
const depthMax = 1000;

export const snapshotLs: RepositoryAction<SnapshotLsOptions> = async (context, options, opening) => {
  const { signal } = context;
  await using opened = await openRepository(context, opening, { cached: true });
  const { repository } = opened;
  const set = await repository.manifests.load({ signal });
  const named = parseSnapshotPath(options.snapshot);
  const { rootEntry } = resolveSnapshot(set, named.snapshot);
  const root = await findEntry(repository, rootEntry, named.path, { signal });
  const rows =
    root.type === 'd'
      ? rowsBelow(repository, root, { prefix: '', depth: 0 }, { recursive: options.recursive, signal })
      : single(rowOf(root, ''));
  await context.output.stream(rows, {
    name: ({ path }) => path,
    line: (row) => (options.long ? longLine(row) : lineName(row)),
  });
  return exitCodes.done;
};

/** In the order of the listings, a folder before what is in it. */
async function* rowsBelow(
  repository: Repository,
  { object }: DirEntry,
  { prefix, depth }: { readonly prefix: string; readonly depth: number },
  call: { readonly recursive: boolean; readonly signal: AbortSignal },
): AsyncGenerator<EntryRow> {
  if (depth > depthMax) throw new RepositoryError('corrupt', `folders are nested more than ${depthMax} deep`);
  for await (const batch of directoryEntries(repository, object, call)) {
    for (const entry of batch) {
      const row = rowOf(entry, prefix);
      yield row;
      if (!call.recursive || entry.type !== 'd') continue;
      yield* rowsBelow(repository, entry, { prefix: `${row.path}/`, depth: depth + 1 }, call);
    }
  }
}

async function* single(row: EntryRow): AsyncGenerator<EntryRow> {
  yield row;
}

function rowOf(entry: DirEntry, prefix: string): EntryRow {
  const { name, type, mode, sizeBytes, summary, uid, gid, modified, object } = entry;
  return {
    path: prefix + name,
    type: type === 'f' ? 'file' : type === 'd' ? 'folder' : type === 's' ? 'link' : 'other',
    sizeBytes: type === 'd' ? (summary?.sizeBytes ?? 0) : sizeBytes,
    mode: posixMode(mode).toString(8).padStart(4, '0'),
    uid,
    gid,
    modified: formatGoTime(modified),
    object,
  };
}

function lineName({ path, type }: EntryRow): string {
  return printable(type === 'folder' ? `${path}/` : path);
}

const letters = { file: '-', folder: 'd', link: 'l', other: '?' } as const;

/** Widths that most entries fit into: rows are printed as they come. */
function longLine(row: EntryRow): string {
  const { type, mode, uid, gid, sizeBytes, modified } = row;
  const owner = `${uid}:${gid}`.padEnd(11);
  const time = shortTime(modified);
  return `${letters[type]}${mode}  ${owner}  ${String(sizeBytes).padStart(14)}  ${time}  ${lineName(row)}`;
}
