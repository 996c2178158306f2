/**
 * The index of a large repository: how long it takes to open warm, what it holds in memory, and how fast it answers.
 * The targets are below 1 s and 32 MiB for a million contents.
 *
 *     node bench/index-scale.ts [contents] [index blobs]
 *
 * Measuring happens in a process of its own (`measure`), so that building does not count.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { blobId } from '../src/blobs/blob-store.ts';
import { DirectoryStore } from '../src/blobs/directory/directory-store.ts';
import { ContentCodec } from '../src/repository/content/content-codec.ts';
import { contentIdOf } from '../src/repository/content/content-id.ts';
import { testFormat as format } from '../src/repository/format/format-fixtures.ts';
import { encodeIndex } from '../src/repository/index/encode-index.ts';
import type { IndexEntry } from '../src/repository/index/index-entry.ts';
import { IndexLookup } from '../src/repository/index/index-lookup.ts';
import { IndexSet, type IndexSetParts } from '../src/repository/index/index-set.ts';
import { systemClock } from '../src/std/clock.ts';
import { systemRng } from '../src/std/rng.ts';

const { signal } = new AbortController();
const session = 's0123456789abcdef147';
const mib = 1024 * 1024;

async function partsIn(directory: string): Promise<IndexSetParts> {
  const rng = systemRng;
  const store = await DirectoryStore.open(join(directory, 'store'), { create: true, signal, clock: systemClock, rng });
  const codec = new ContentCodec(format);
  const cacheDirectory = join(directory, 'cache');
  return { store, codec, format, cacheDirectory, cacheKey: new Uint8Array(32).fill(3), clock: systemClock };
}

async function build(directory: string, contents: number, blobs: number): Promise<void> {
  const { store, codec } = await partsIn(directory);
  const perBlob = Math.ceil(contents / blobs);
  for (let made = 0; made < contents; made += perBlob) {
    const count = Math.min(perBlob, contents - made);
    // Twenty contents of a MiB to a pack.
    const packs = Array.from({ length: Math.ceil(count / 20) }, () =>
      blobId(`p${randomBytes(16).toString('hex')}-${session}`),
    );
    const entries = Array.from({ length: count }, (_, i): IndexEntry => ({
      contentId: contentIdOf(i % 100 === 0 ? 'k' : '', randomBytes(32)),
      packBlob: packs[Math.floor(i / 20)]!,
      packOffset: (i % 20) * mib,
      packedLength: mib + 28,
      originalLength: mib,
      compression: 0,
      formatVersion: 3,
      encryptionKeyId: 0,
      deleted: false,
      timestampSeconds: 1_790_000_000,
    }));
    const plain = encodeIndex(entries, { version: 2, hashLengthBytes: 32 });
    const { id, bytes } = codec.sealNamed('xn0_', `${session}-c1`, plain);
    await store.put(id, bytes, { signal });
  }
}

async function measure(directory: string): Promise<void> {
  const parts = await partsIn(directory);
  globalThis.gc?.();
  const before = process.memoryUsage();
  const start = performance.now();
  await using set = await IndexSet.open({ ...parts, signal });
  const openMs = performance.now() - start;
  const opened = process.memoryUsage();
  const location = set.lookupLocation();
  const count = location.tables.reduce((sum, { layout }) => sum + layout.count, 0);
  console.log(`open            ${openMs.toFixed(0)} ms, ${location.tables.length} tables, ${count} entries`);
  report('memory, opened', before, opened);
  const lookup = new IndexLookup(location);
  const absent = Array.from({ length: 20_000 }, () => randomBytes(32));
  rate('state, absent', absent, (hash) => !lookup.isLive(0, hash));
  report('memory, asked', before, process.memoryUsage());
  const present: Buffer[] = [];
  let seen = 0;
  for (const { contentId } of set.entries({ prefix: '' })) {
    if (seen++ % Math.ceil(count / 20_000) === 0) present.push(Buffer.from(contentId, 'hex'));
    if (present.length === 20_000) break;
  }
  present.sort(() => Math.random() - 0.5);
  rate('state, present', present, (hash) => lookup.isLive(0, hash));
  rate('find, present', present, (hash) => lookup.find(0, hash) !== undefined);
  globalThis.gc?.();
  report('memory, used', before, process.memoryUsage());
  const passStart = performance.now();
  let entries = 0;
  for (const _ of set.entries()) entries++;
  console.log(`pass            ${entries} entries in ${(performance.now() - passStart).toFixed(0)} ms`);
}

function rate(what: string, hashes: readonly Buffer[], ask: (hash: Buffer) => boolean): void {
  const start = performance.now();
  let right = 0;
  for (let round = 0; round < 10; round++) for (const hash of hashes) if (ask(hash)) right++;
  const seconds = (performance.now() - start) / 1000;
  const asked = hashes.length * 10;
  console.log(`${what.padEnd(16)}${Math.round(asked / seconds).toLocaleString('en')}/s (${right} of ${asked} right)`);
}

function report(what: string, before: NodeJS.MemoryUsage, after: NodeJS.MemoryUsage): void {
  const delta = (key: keyof NodeJS.MemoryUsage): string => ((after[key] - before[key]) / mib).toFixed(1);
  const parts = `RSS +${delta('rss')} MiB, heap +${delta('heapUsed')}, buffers +${delta('arrayBuffers')}`;
  console.log(`${what.padEnd(16)}${parts}, external +${delta('external')}`);
}

const [mode, directory] = process.argv.slice(2);
if (mode === 'measure' && directory !== undefined) {
  await measure(directory);
} else {
  const contents = Number(mode ?? 1_000_000);
  const blobs = Number(directory ?? 40);
  const made = await mkdtemp(join(tmpdir(), 'index-scale-'));
  try {
    await build(made, contents, blobs);
    for (const run of ['cold', 'warm', 'warm']) {
      console.log(`--- ${run}`);
      spawnSync(process.execPath, ['--expose-gc', import.meta.filename, 'measure', made], { stdio: 'inherit' });
    }
    const files = await readdir(join(made, 'cache'));
    const sizes = await Promise.all(files.map(async (name) => (await stat(join(made, 'cache', name))).size));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    console.log(`on disk         ${files.length} files, ${(total / mib).toFixed(0)} MiB`);
  } finally {
    await rm(made, { recursive: true });
  }
}
