/**
 * Reads packs and checks every content that the index places in them, each pack once; also deleted ones, which can still
 * be read and may be what a snapshot needs. The index is ordered by content,
 * not by pack, and has no bound: so it is scanned several times, each time for the packs of one share, and only that
 * share's entries are in memory.
 */
import { blobId, type BlobStore } from '../blobs/blob-store.ts';
import type { BlobStoreLocation } from '../blobs/location.ts';
import type { ContentId } from '../repository/content/content-id.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';
import type { Repository } from '../repository/repository.ts';
import { WorkerGroup } from '../std/worker-group.ts';
import { checkTasksPerWorker, type CheckTask, type CheckWorkerData, type PackChecked } from './check-messages.ts';

/** Entries in memory at a time, about 300 bytes each. */
const entriesPerPass = 60_000;

export interface CheckPacksOptions {
  readonly store: BlobStoreLocation;
  readonly parallel: number;
  /** Of all packs in the store. */
  readonly lengths: ReadonlyMap<string, number>;
  /** True for packs that belong to the sample. */
  readonly isChosen: (pack: string) => boolean;
  readonly onProgress: (counts: { readonly readBytes: number; readonly contents: number }) => void;
  readonly signal: AbortSignal;
}

export interface PacksChecked {
  readonly packs: number;
  readonly contents: number;
  readonly readBytes: number;
  readonly damagedContents: ReadonlyMap<ContentId, string>;
  /** Contents that error correction has mended, or that have lost some of theirs. */
  readonly mended: readonly ContentId[];
  /** Contents that this version cannot open, counted by what it lacks. */
  readonly unsupported: ReadonlyMap<string, number>;
  readonly packProblems: ReadonlyMap<string, string>;
}

export async function checkPacks(repository: Repository, options: CheckPacksOptions): Promise<PacksChecked> {
  const data: CheckWorkerData = { store: options.store, format: repository.opened.format };
  await using group = new WorkerGroup<CheckTask, PackChecked>({
    module: new URL(`./check-worker${import.meta.url.slice(-3)}`, import.meta.url),
    workers: options.parallel,
    tasksPerWorker: checkTasksPerWorker,
  });
  group.begin(data);
  const onAbort = (): void => group.abort(options.signal.reason);
  options.signal.addEventListener('abort', onAbort, { once: true });
  const damagedContents = new Map<ContentId, string>();
  const mended: ContentId[] = [];
  const unsupported = new Map<string, number>();
  const packProblems = new Map<string, string>();
  const totals = { packs: 0, contents: 0, readBytes: 0 };
  const failures: unknown[] = [];
  try {
    const passes = Math.max(1, Math.ceil(entryCount(repository) / entriesPerPass));
    for (let pass = 0; pass < passes; pass++) {
      const running: Promise<void>[] = [];
      for (const [pack, entries] of byPack(repository, options, { pass, passes })) {
        options.signal.throwIfAborted();
        const lengthBytes = options.lengths.get(pack);
        await group.submit({ blob: blobId(pack), lengthBytes, entries }, (outcome) => {
          const settled = outcome.then((checked) => {
            totals.packs++;
            totals.contents += entries.length;
            totals.readBytes += checked.readBytes;
            for (const { contentId, reason } of checked.damaged) damagedContents.set(contentId as ContentId, reason);
            mended.push(...(checked.mended as ContentId[]));
            for (const [what, count] of checked.unsupported)
              unsupported.set(what, (unsupported.get(what) ?? 0) + count);
            if (checked.problem !== undefined) packProblems.set(pack, checked.problem);
            options.onProgress(totals);
          });
          running.push(settled.catch((error: unknown) => void failures.push(error)));
        });
      }
      await Promise.all(running);
      if (failures.length > 0) throw failures[0];
    }
  } finally {
    options.signal.removeEventListener('abort', onAbort);
  }
  return { ...totals, damagedContents, mended, unsupported, packProblems };
}

/** Lengths of all packs in the store: what `present` compares the index with. About 100 bytes per pack. */
export async function packLengths(
  store: BlobStore,
  { signal }: { readonly signal: AbortSignal },
): Promise<Map<string, number>> {
  const lengths = new Map<string, number>();
  for (const prefix of ['p', 'q']) {
    for await (const { id, lengthBytes } of store.list(prefix, { signal })) lengths.set(id, lengthBytes);
  }
  return lengths;
}

function entryCount(repository: Repository): number {
  let count = 0;
  for (const _ of repository.index.entries()) count++;
  return count;
}

function byPack(
  repository: Repository,
  options: CheckPacksOptions,
  { pass, passes }: { readonly pass: number; readonly passes: number },
): Map<string, IndexEntry[]> {
  const packs = new Map<string, IndexEntry[]>();
  for (const entry of repository.index.entries()) {
    if (shareOf(entry.packBlob, passes) !== pass || !options.isChosen(entry.packBlob)) continue;
    const entries = packs.get(entry.packBlob);
    if (entries === undefined) packs.set(entry.packBlob, [entry]);
    else entries.push(entry);
  }
  return packs;
}

/** Pack names begin with random hexadecimal digits. */
function shareOf(pack: string, shares: number): number {
  return Number.parseInt(pack.slice(1, 9), 16) % shares;
}
