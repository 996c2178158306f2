/**
 * Gathers the contents of short packs in new ones, so that the old ones can go (Kopia `content_rewrite.go`). A pack is
 * short when the index places less than 60 % of a full one in it; one short pack of a kind alone stays. Deleted
 * contents go along, still deleted: until they are dropped, somebody may need them.
 *
 * Durable when: copies count with each flush of `maintenance-writer.ts`, packs before the index. The old packs stay
 * where they are; they are removed by another task, an hour later at the earliest. A crash leaves some contents in two
 * places, of which the newer wins.
 */
import type { IndexEntry } from '../repository/index/index-entry.ts';
import { hasCode } from '../std/dray-error.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { copyContents } from './copy-contents.ts';
import { MaintenanceWriter } from './maintenance-writer.ts';
import { fingerprint, PackUsage } from './pack-usage.ts';
import { isRewritable } from './safety.ts';
import { Sum, type TaskContext, type TaskOutcome } from './task.ts';

/** Of a full pack. */
const shortPackPercent = 60;
/** Fewer short packs of one kind stay as they are. */
const shortPacksMin = 2;
/** Entries in memory at a time, about 300 bytes each. */
const entriesPerPass = 50_000;

export interface Rewrite {
  /** The first letter of packs; without it all packs count. */
  readonly kind?: 'q' | undefined;
  /** Called when copies may count, also when the task fails later. */
  readonly onFlush: () => void;
}

export async function rewriteContents(context: TaskContext, { kind, onFlush }: Rewrite): Promise<TaskOutcome> {
  const { repository, clock, dryRun, signal } = context;
  const { index, store } = repository;
  const thresholdBytes = shortPackBytes(repository.opened.format.maxPackSizeBytes);
  const packs = new ShortPacks(thresholdBytes);
  using marks = index.marks();
  for (const { entry } of marks.entries()) {
    if (entry.packBlob.startsWith(kind ?? '')) packs.add(entry.packBlob, entry.packedLength);
  }
  packs.end();
  const nowMs = clock.nowMs();
  const [retained, toRewrite] = [new Sum(), new Sum()];
  for (const { entry } of marks.entries()) {
    if (!packs.isShort(entry.packBlob)) continue;
    (isRewritable(entry.timestampSeconds * 1000, { nowMs }) ? toRewrite : retained).add(entry.packedLength);
  }
  if (!dryRun && toRewrite.count > 0) {
    await using writer = new MaintenanceWriter(context, { signal });
    try {
      const passes = Math.ceil(toRewrite.count / entriesPerPass);
      for (let pass = 0; pass < passes; pass++) {
        const entries: IndexEntry[] = [];
        for (const { entry } of marks.entries()) {
          if (!packs.isShort(entry.packBlob) || fingerprint(entry.packBlob)[1] % passes !== pass) continue;
          if (isRewritable(entry.timestampSeconds * 1000, { nowMs })) entries.push(entry);
        }
        await copyContents({ store }, writer, entries, { deleted: (entry) => entry.deleted, signal });
      }
      await writer.finish();
    } catch (error) {
      if (hasCode(error, 'blob-no-space') && writer.flushes === 0) await writer.discard();
      throw error;
    } finally {
      if (writer.flushes > 0) onFlush();
    }
  }
  return outcome({ toRewrite, retained, rewritten: dryRun ? new Sum() : toRewrite });
}

/** Less than this in a pack makes it short. */
export function shortPackBytes(maxPackSizeBytes: number): number {
  return Math.floor((maxPackSizeBytes * shortPackPercent) / 100);
}

/** Which packs are to be emptied, from what the index places in each. */
export class ShortPacks {
  readonly #thresholdBytes: number;
  /** By the first letter of the name, which says what kind of contents a pack holds. */
  readonly #usage = new Map<string, PackUsage>();
  readonly #kinds = new Set<string>();

  constructor(thresholdBytes: number) {
    this.#thresholdBytes = thresholdBytes;
  }

  add(pack: string, bytes: number): void {
    const kind = pack.slice(0, 1);
    let usage = this.#usage.get(kind);
    if (usage === undefined) this.#usage.set(kind, (usage = new PackUsage()));
    usage.add(pack, bytes);
  }

  /** Everything was added. */
  end(): void {
    for (const [kind, usage] of this.#usage) {
      if (usage.countBelow(this.#thresholdBytes) >= shortPacksMin) this.#kinds.add(kind);
    }
  }

  isShort(pack: string): boolean {
    const kind = pack.slice(0, 1);
    return this.#kinds.has(kind) && (this.#usage.get(kind)?.bytesIn(pack) ?? 0) < this.#thresholdBytes;
  }
}

function outcome({
  toRewrite,
  retained,
  rewritten,
}: {
  readonly toRewrite: Sum;
  readonly retained: Sum;
  readonly rewritten: Sum;
}): TaskOutcome {
  const data = jsonObject({
    toRewriteContentCount: toRewrite.count,
    toRewriteContentSize: toRewrite.bytes,
    rewrittenContentCount: rewritten.count,
    rewrittenContentSize: rewritten.bytes,
    retainedContentCount: retained.count,
    retainedContentSize: retained.bytes,
  });
  const summary = `${toRewrite.count} contents (${toRewrite.bytes} bytes) of short packs go into new ones, ${retained.count} are too recent`;
  return { extra: { kind: 'rewriteContentsStats', data }, summary };
}
