/** Repositories that Kopia wrote, for tests: their blobs in memory, and what Kopia says about them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import { MemoryStore } from '../../blobs/memory-store.ts';
import { systemClock } from '../../std/clock.ts';
import { defaultEpochs, type ContentFormat } from './content-format.ts';
import { openFormat, type OpenedFormat } from './format-store.ts';

/** A format with fixed keys. */
export const testFormat: ContentFormat = {
  hash: 'BLAKE3-256',
  encryption: 'AES256-GCM-HMAC-SHA256',
  secret: Uint8Array.from({ length: 32 }, (_, at) => at),
  masterKey: Uint8Array.from({ length: 32 }, (_, at) => 0x40 + at),
  version: 3,
  indexVersion: 2,
  maxPackSizeBytes: 20 * 1024 * 1024,
  packHead: new Uint8Array(),
  splitter: 'DYNAMIC-4M-BUZHASH',
  epochs: defaultEpochs,
  eccOverheadPercent: 0,
  enablePasswordChange: true,
};

const root = join(import.meta.dirname, '../../../test/fixtures/kopia');

/** The part of a fixture's `expected.json` that the tests here read. */
export interface ExpectedRepository {
  readonly password: string;
  readonly uniqueIDHex: string;
  readonly format: Readonly<Record<string, unknown>>;
  readonly contents: readonly {
    readonly contentID: string;
    readonly packFile: string;
    readonly packOffset: number;
    readonly length: number;
    readonly originalLength: number;
    readonly compression?: number;
  }[];
}

export interface FormatFixture {
  readonly expected: ExpectedRepository;
  readonly blobs: ReadonlyMap<BlobId, Uint8Array>;
}

export function fixtureNames(): readonly string[] {
  const entries = readdirSync(root, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

export function readFixture(name: string): FormatFixture {
  const expected = JSON.parse(readFileSync(join(root, name, 'expected.json'), 'utf8')) as ExpectedRepository;
  const folder = join(root, name, 'repository');
  const blobs = new Map<BlobId, Uint8Array>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.f')) continue;
    const path = join(entry.parentPath, entry.name);
    const id = path.slice(folder.length, -'.f'.length).replaceAll('/', '');
    blobs.set(blobId(id), new Uint8Array(readFileSync(path)));
  }
  return { expected, blobs };
}

export async function storeOf(blobs: ReadonlyMap<BlobId, Uint8Array>): Promise<MemoryStore> {
  const store = new MemoryStore({ clock: systemClock });
  const { signal } = new AbortController();
  for (const [id, bytes] of blobs) await store.put(id, bytes, { signal });
  return store;
}

/** Only the format blobs are given to the store. */
export async function openFixture({ expected, blobs }: FormatFixture, password?: string): Promise<OpenedFormat> {
  const store = await storeOf(new Map([...blobs].filter(([id]) => id.startsWith('kopia.'))));
  const { signal } = new AbortController();
  return await openFormat(store, { password: password ?? expected.password, clock: systemClock, signal });
}
