/** Snapshots of trees that nobody would make, and their restoring, in this process. */
import { join } from 'node:path';

import { encodeDirectory } from '../../src/repository/manifest/directory.ts';
import type { DirEntry } from '../../src/repository/manifest/dir-entry.ts';
import { encodeSnapshot, resolveSnapshot } from '../../src/repository/manifest/snapshot.ts';
import { directObjectId, type ObjectId } from '../../src/repository/object/object-id.ts';
import type { RepositoryWriter } from '../../src/repository/repository-writer.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { EntryChoice } from '../../src/transfer/entry-choice.ts';
import type { Omission } from '../../src/transfer/file-failure.ts';
import { restoreFiles, type RestoreFilesResult } from '../../src/transfer/restore-files.ts';
import { withRepository, type Engine } from '../support/engine.ts';

const { signal } = new AbortController();
const identity = { userName: 'tester', host: 'here' };
const modified = 1_000_000_000_123_456_789n;

export type Writer = Pick<RepositoryWriter, 'write'>;

/** An entry with something in every member; what is given goes before. */
export function entry(name: string, object: ObjectId, more: Partial<DirEntry> = {}): DirEntry {
  return { name, type: 'f', mode: 0o644, sizeBytes: 0, modified, uid: 0, gid: 0, object, summary: undefined, ...more };
}

export async function file(writer: Writer, name: string, text: string | Uint8Array): Promise<DirEntry> {
  const bytes = Buffer.from(text);
  return entry(name, directObjectId(await writer.write('', bytes)), { sizeBytes: bytes.length });
}

export async function linkTo(writer: Writer, name: string, target: string): Promise<DirEntry> {
  return { ...(await file(writer, name, target)), type: 's', mode: 0o777 };
}

export async function folder(writer: Writer, name: string, entries: readonly DirEntry[]): Promise<DirEntry> {
  const object = directObjectId(await writer.write('k', encodeDirectory({ entries })));
  return entry(name, object, { type: 'd', mode: 0o755 });
}

/** Puts a snapshot of what `build` makes. @returns its id */
export async function putTree(
  engine: Engine,
  build: (writer: Writer) => Promise<readonly DirEntry[]>,
): Promise<string> {
  return await withRepository(engine, async (repository) => {
    await using writer = await repository.writer(identity, { signal });
    const rootEntry = await folder(writer, 'root', await build(writer));
    const set = await repository.manifests.load({ signal });
    const stats = { totalSizeBytes: 0, files: 0, cachedFiles: 0, dirs: 0, errors: 0 };
    const times = { startTime: modified, endTime: modified };
    const source = { ...identity, path: '/tree' };
    const id = set.put(encodeSnapshot({ source, description: '', ...times, stats, rootEntry, tags: {}, pins: [] }));
    await repository.manifests.save(set, writer);
    await writer.finish();
    return id;
  });
}

export interface TreeRestored extends RestoreFilesResult {
  readonly omissions: readonly Omission[];
}

export async function restoreTree(
  engine: Engine,
  snapshot: string,
  target: string,
  how: {
    readonly overwrite?: boolean;
    readonly owners?: boolean;
    readonly onOmission?: (omission: Omission) => void;
  } = {},
): Promise<TreeRestored> {
  return await withRepository(engine, async (repository) => {
    const { id, rootEntry: root } = resolveSnapshot(await repository.manifests.load({ signal }), snapshot);
    const omissions: Omission[] = [];
    const result = await restoreFiles(
      { repository, rng },
      {
        snapshot: id,
        root,
        target,
        overwrite: how.overwrite ?? false,
        owners: how.owners ?? false,
        choice: new EntryChoice({ include: [], exclude: [] }),
        stateDirectory: join(engine.cache, 'restores'),
        store: { kind: 'directory', path: engine.path },
        parallel: 2,
        onProgress: () => undefined,
        onOmission: (omission) => {
          omissions.push(omission);
          how.onOmission?.(omission);
        },
        signal,
      },
    );
    return { ...result, omissions };
  });
}
