/**
 * What the disk alone takes: reads so many bytes of a sparse volume past the page cache, in chunks anywhere in its data,
 * and writes as many to files as large as packs, each flushed. Nothing is done with the bytes. A program of its own, so
 * that it is measured as the others are:
 *
 *     node bench/pool/disk-alone.ts IMAGE SIZE-BYTES DATA-BYTES BYTES FOLDER
 */
import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { join } from 'node:path';

import { AlignedMemory, alignedBuffer } from '../../src/kernel/aligned-memory.ts';
import { seededRng } from '../../src/std/rng.ts';
import { offsetOf } from './sparse-volume.ts';

const mib = 2 ** 20;
const chunkBytes = mib;
const readsAtOnce = 8;
const packBytes = 20 * mib;
const writeBytes = 4 * mib;
const packsAtOnce = 2;

const [image = '', ...rest] = process.argv.slice(2);
const folder = rest.pop() ?? '';
const [sizeBytes = 0, dataBytes = 0, bytes = 0] = rest.map(Number);
await Promise.all([readAll(), writeAll()]);

async function readAll(): Promise<void> {
  await using file = await open(image, constants.O_RDONLY | constants.O_DIRECT);
  const memory = AlignedMemory.allocate({ slotBytes: chunkBytes, slots: readsAtOnce });
  const rng = seededRng(1);
  let left = Math.ceil(bytes / chunkBytes);
  await atOnce(readsAtOnce, async (reader) => {
    while (left-- > 0) {
      const at = Math.floor((rng.uniform() * dataBytes) / chunkBytes) * chunkBytes;
      await file.read(memory.slot(reader), 0, chunkBytes, offsetOf({ sizeBytes, dataBytes }, at));
    }
  });
}

async function writeAll(): Promise<void> {
  const content = alignedBuffer(writeBytes).fill(1);
  let left = Math.ceil(bytes / packBytes);
  await atOnce(packsAtOnce, async (writer) => {
    const path = join(folder, `disk-alone-${writer}`);
    while (left-- > 0) {
      {
        await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_DIRECT);
        for (let at = 0; at < packBytes; at += writeBytes) await file.write(content, 0, writeBytes, at);
        await file.datasync();
      }
      await unlink(path);
    }
  });
}

async function atOnce(times: number, work: (index: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: times }, async (_, index) => await work(index)));
}
