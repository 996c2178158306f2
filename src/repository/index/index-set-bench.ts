/** What the tests of `IndexSet` share: a repository in memory, a clock, entries by number. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import type { Clock } from '../../std/clock.ts';
import { ContentCodec } from '../content/content-codec.ts';
import { contentIdOf } from '../content/content-id.ts';
import { defaultEpochs, type ContentFormat } from '../format/content-format.ts';
import { encodeIndex } from './encode-index.ts';
import type { IndexEntry } from './index-entry.ts';
import { spread } from './index-fixtures.ts';
import type { IndexSet, IndexSetParts } from './index-set.ts';
import { HookedStore } from './hooked-store.ts';

export const format: ContentFormat = {
  hash: 'BLAKE3-256-128',
  encryption: 'AES256-GCM-HMAC-SHA256',
  secret: new Uint8Array(32).fill(1),
  masterKey: new Uint8Array(32).fill(2),
  version: 3,
  indexVersion: 2,
  maxPackSizeBytes: 20 * 1024 * 1024,
  packHead: new Uint8Array(),
  splitter: 'FIXED-1M',
  epochs: defaultEpochs,
  eccOverheadPercent: 0,
  enablePasswordChange: true,
};
export const signal: AbortSignal = new AbortController().signal;
export const session = 's0123456789abcdef123';

/** Time that passes only while somebody sleeps. */
function steppedClock(): Clock & { nowAtMs: number } {
  return {
    nowAtMs: 1_700_000_000_000,
    nowMs() {
      return this.nowAtMs;
    },
    monotonicMs() {
      return this.nowAtMs;
    },
    async sleep(ms) {
      this.nowAtMs += ms;
    },
  };
}

export interface Bench extends IndexSetParts {
  readonly store: HookedStore;
  readonly clock: ReturnType<typeof steppedClock>;
}

export async function bench(context: TestContext): Promise<Bench> {
  const cacheDirectory = await mkdtemp(join(tmpdir(), 'index-set-'));
  context.after(async () => await rm(cacheDirectory, { recursive: true, force: true }));
  const codec = new ContentCodec(format);
  return {
    store: new HookedStore(),
    codec,
    format,
    cacheDirectory,
    cacheKey: new Uint8Array(32).fill(3),
    clock: steppedClock(),
  };
}

export function entry(number: number, change: Partial<IndexEntry> = {}): IndexEntry {
  return {
    contentId: contentIdOf(number % 5 === 0 ? 'k' : '', spread(number, 16)),
    packBlob: blobId(`p${(number % 7).toString().padStart(32, '0')}-${session}`),
    packOffset: number * 10,
    packedLength: 100 + number,
    originalLength: 72 + number,
    compression: 0,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: false,
    timestampSeconds: 1000,
    ...change,
  };
}

export function range(from: number, to: number): IndexEntry[] {
  return Array.from({ length: to - from }, (_, i) => entry(from + i));
}

/** Puts an index blob as another writer would. */
export function putIndex(
  parts: Bench,
  prefix: string,
  entries: readonly IndexEntry[],
  suffix: string = `${session}-c1`,
): BlobId {
  const plain = encodeIndex(entries, { version: 2, hashLengthBytes: 16 });
  const { id, bytes } = parts.codec.sealNamed(prefix, suffix, plain);
  parts.store.blobs.set(id, bytes);
  return id;
}

export function numbers(set: IndexSet): number[] {
  return [...set.entries()].map((one) => one.packOffset / 10).toSorted((a, b) => a - b);
}

export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
