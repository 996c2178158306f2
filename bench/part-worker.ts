/** A thread that does one part of the data path alone, over its share of the image, when it is told to. */
import { constants } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';

import { AlignedMemory } from '../src/kernel/aligned-memory.ts';
import { DirectFile } from '../src/kernel/direct-file.ts';
import { ContentCodec, type SealedContent } from '../src/repository/content/content-codec.ts';
import { contentIdOf } from '../src/repository/content/content-id.ts';
import { testFormat } from '../src/repository/format/format-fixtures.ts';
import { chunkBytes, packBytes, type PartTask, pieceBytes, sampleBytes } from './part-task.ts';

const { thread } = workerData as { readonly thread: number };
const codec = new ContentCodec(testFormat);
/** Files that a thread has under way at once, as the pipelines have: the device must not wait for it. */
const streams = 2;
const memory = AlignedMemory.allocate({ slotBytes: sampleBytes + (streams + 1) * pieceBytes, slots: 1 }).slot(0);
const sample = memory.subarray(0, sampleBytes);
/** What is read goes here, one piece for each stream. */
const slots = Array.from({ length: streams }, (_, at) =>
  memory.subarray(sampleBytes + at * pieceBytes, sampleBytes + (at + 1) * pieceBytes),
);
const slot = slots[0]!;
const out = memory.subarray(sampleBytes + streams * pieceBytes);
const zeroChunk = Buffer.alloc(chunkBytes);

parentPort!.on('message', (task: PartTask) => {
  void run(task).then(
    () => parentPort!.postMessage(undefined),
    (error: unknown) => {
      throw error;
    },
  );
});

async function run(task: PartTask): Promise<void> {
  switch (task.part) {
    case 'load':
      return await load(task);
    case 'read-packs':
      return await readPacks(task);
    case 'read':
    case 'read-hash':
      return await readAll(task);
    case 'store':
      return storeAll(task.lengthBytes);
    case 'open':
      return openAll(task.lengthBytes);
    case 'write-packs':
      return await writePacks(task);
    case 'write-image':
    case 'write-device':
      return await writeImage(task);
  }
}

async function load({ image }: PartTask): Promise<void> {
  await using file = await DirectFile.open(image, { flags: constants.O_RDONLY, direct: false });
  await file.read(sample, 0);
}

async function readAll({ part, image, lengthBytes, offset }: PartTask): Promise<void> {
  await using file = await DirectFile.open(image, { flags: constants.O_RDONLY, direct: false });
  for (let at = offset; at < offset + lengthBytes; at += pieceBytes) {
    const count = await file.read(slot, at);
    if (part === 'read-hash') eachChunk(slot.subarray(0, count), (chunk) => codec.hash(chunk));
  }
}

/** Whole files from the page cache. */
async function readPacks({ files }: PartTask): Promise<void> {
  const left = [...files];
  const stream = async (into: Uint8Array): Promise<void> => {
    for (let path = left.pop(); path !== undefined; path = left.pop()) {
      await using file = await DirectFile.open(path, { flags: constants.O_RDONLY, direct: false });
      for (let at = 0; (await file.read(into, at)) === into.length; at += into.length);
    }
  };
  await Promise.all(slots.map(stream));
}

/** Zero test, hash, compress, seal: all that the processor does for a chunk on its way in. */
function storeAll(lengthBytes: number): void {
  for (let done = 0; done < lengthBytes; done += sampleBytes) {
    eachChunk(sample, (chunk) => {
      codec.sealInto(contentIdOf('', codec.hash(chunk)), chunk, 'zstd-fastest', out, 0);
    });
  }
}

/** Open, decompress, and hash again: what it does for a chunk on its way out. */
function openAll(lengthBytes: number): void {
  const packed = contents();
  for (let done = 0; done < lengthBytes; done += sampleBytes) {
    for (const { entry, sealed } of packed) codec.openInto(entry, sealed, slot, { verify: true });
  }
}

interface Packed {
  readonly entry: SealedContent;
  readonly sealed: Uint8Array;
}

let sealedContents: readonly Packed[] | undefined;

/** The sample, sealed once. */
function contents(): readonly Packed[] {
  if (sealedContents !== undefined) return sealedContents;
  const made: Packed[] = [];
  eachChunk(sample, (chunk) => {
    const contentId = contentIdOf('', codec.hash(chunk));
    const { packedLength, compression } = codec.sealInto(contentId, chunk, 'zstd-fastest', out, 0);
    const entry = { contentId, compression, originalLength: chunk.length, encryptionKeyId: 0 };
    made.push({ entry, sealed: out.slice(0, packedLength) });
  });
  sealedContents = made;
  return made;
}

/** Files of a pack's size past the page cache, each flushed before its stream begins the next. */
async function writePacks({ folder, lengthBytes }: PartTask): Promise<void> {
  let packs = Math.floor(lengthBytes / packBytes);
  const stream = async (): Promise<void> => {
    while (packs > 0) {
      packs -= 1;
      const path = join(folder, `part-${thread}-${packs}`);
      {
        const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
        await using file = await DirectFile.open(path, { flags, direct: true });
        for (let at = 0; at < packBytes; at += pieceBytes) await file.write(sample.subarray(0, pieceBytes), at);
        await file.flush();
      }
      await unlink(path);
    }
  };
  await Promise.all(slots.map(stream));
}

/** One sparse file by all threads, past the page cache, flushed at the end; the image's zero runs stay holes. */
async function writeImage({ image, lengthBytes, offset }: PartTask): Promise<void> {
  await using file = await DirectFile.open(image, { flags: constants.O_RDWR, direct: true });
  for (let at = offset; at < offset + lengthBytes; at += pieceBytes) {
    const piece = sample.subarray(at % sampleBytes, (at % sampleBytes) + pieceBytes);
    if (zeroChunk.compare(piece, 0, chunkBytes) !== 0) await file.write(piece, at);
  }
  await file.flush();
}

function eachChunk(bytes: Uint8Array, work: (chunk: Uint8Array) => void): void {
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = bytes.subarray(at, at + chunkBytes);
    const zero = chunk[0] === 0 && chunk.length === chunkBytes && zeroChunk.compare(chunk) === 0;
    if (!zero) work(chunk);
  }
}
