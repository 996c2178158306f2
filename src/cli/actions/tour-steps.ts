/**
 * The tour's steps: what a user does with a volume, and what must come of it. A step's claim is checked against the data (the
 * files, the list of changes, the exit status), never against a message.
 */
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';

import { formatSize } from '../../std/format-size.ts';
import { parseSchema } from '../../std/schema.ts';
import { firstDifference } from './first-difference.ts';
import { writeImage } from './tour-image.ts';
import { check, shellWord, type TourShell } from './tour-shell.ts';

export interface TourStepsParts {
  readonly shell: TourShell;
  readonly folder: string;
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
}

const chunkBytes = 1024 * 1024;
const pieceBytes = chunkBytes / 2;

const backupSchema = v.object({
  snapshot: v.string(),
  rung: v.string(),
  readBytes: v.number(),
  storedBytes: v.number(),
});
const restoreSchema = v.object({ packedBytes: v.number(), sizeBytes: v.number(), writtenBytes: v.number() });
const extentsSchema = v.array(v.object({ offset: v.number(), length: v.number() }));
const diffSchema = v.object({ extents: extentsSchema });
const verifySchema = v.object({
  whole: v.boolean(),
  readBytes: v.number(),
  damaged: v.array(v.object({ snapshot: v.string(), offset: v.number(), length: v.number() })),
});

export async function runSteps(parts: TourStepsParts): Promise<void> {
  const first = await backUp(parts);
  const second = await backUpChanges(parts, first);
  for (const [snapshot, original, target] of [
    [first, 'before.img', 'restored-1.img'],
    [second, 'volume.img', 'restored-2.img'],
  ] as const) {
    await restoreAndCompare(parts, { snapshot, original, target });
  }
  await damageAndFind(parts);
}

async function backUp({ shell, folder, sizeBytes, signal }: TourStepsParts): Promise<string> {
  const size = formatSize(sizeBytes);
  await shell.work(
    { name: 'make a volume', why: `Make a volume of ${size}: random, text-like, and holes.` },
    async () => {
      await writeImage(join(folder, 'volume.img'), { sizeBytes, seed: 'tour', signal });
      const { size: madeBytes, blocks } = await stat(join(folder, 'volume.img'));
      check(madeBytes === sizeBytes, `the volume has ${madeBytes} bytes instead of ${sizeBytes}`);
      return { result: `volume.img, ${formatSize(blocks * 512)} of it on disk, the rest holes` };
    },
  );
  const create = {
    name: 'create a repository',
    why: 'Create a repository: an encrypted folder, which kopia can read too.',
  };
  await shell.command('dray repository create -o json', create, () => ({ result: 'created' }));
  const why = 'Back up the volume. Nothing is known of it yet, so everything is read; holes cost nothing.';
  const { snapshot } = await shell.command('dray backup volume.img -o json', { name: 'back up', why }, ({ stdout }) => {
    const backup = parseSchema(backupSchema, JSON.parse(stdout));
    check(backup.readBytes <= sizeBytes, `${backup.readBytes} bytes were read of ${sizeBytes}`);
    check(backup.storedBytes < backup.readBytes, 'nothing was compressed');
    const result = `snapshot ${backup.snapshot.slice(0, 12)}: ${moved(backup)}`;
    return { ...backup, result };
  });
  return snapshot;
}

/** Changes a hundredth and backs it up by the list of what was changed. */
async function backUpChanges({ shell, folder, sizeBytes, signal }: TourStepsParts, first: string): Promise<string> {
  const keep = { name: 'keep a copy', why: 'Keep a copy of the volume as it is now, to compare with later.' };
  await shell.command('cp volume.img before.img', keep, () => ({ result: 'copied' }));
  const changed = changedPieces(sizeBytes);
  const seek = `seek=$((i * ${changed.stride} + ${changed.start}))`;
  const loop =
    `for i in $(seq 0 ${changed.count - 1}); do dd if=/dev/urandom of=volume.img bs=512K count=1 ${seek} ` +
    'iflag=fullblock conv=notrunc status=none; done';
  const change = { name: 'change 1 %', why: 'Change 1 % of the volume, here and there.' };
  await shell.command(loop, change, async () => {
    const at = await firstDifference(join(folder, 'before.img'), join(folder, 'volume.img'), { signal });
    check(at !== undefined, 'the volume did not change');
    return { result: `${changed.count} pieces of 512 KiB are other bytes now` };
  });
  const list = {
    name: 'list the changes',
    why: 'Write down what changed, as a storage system that tracks changes does.',
  };
  await shell.work({ ...list, byHand: 'cat changes.json' }, async () => {
    const extents = changed.offsets.map((offset) => ({ offset, length: pieceBytes }));
    await writeFile(join(folder, 'changes.json'), JSON.stringify({ parent: first, extents }));
    return { result: `changes.json, ${extents.length} extents since snapshot ${first.slice(0, 12)}` };
  });
  const chunks = new Set(changed.offsets.map((offset) => Math.floor(offset / chunkBytes)));
  const why =
    'Back up the increment. Only chunks of 1 MiB that the list touches are read, and a sample of the rest as an audit.';
  const command = 'dray backup volume.img --changes changes.json -o json';
  const { snapshot } = await shell.command(command, { name: 'back up the increment', why }, ({ stdout }) => {
    const backup = parseSchema(backupSchema, JSON.parse(stdout));
    check(backup.rung === 'list', `the run used "${backup.rung}" instead of the list of changes`);
    const mostBytes = (chunks.size + 1) * chunkBytes;
    check(backup.storedBytes <= mostBytes, `${backup.storedBytes} bytes were stored for ${chunks.size} chunks`);
    return { ...backup, result: `snapshot ${backup.snapshot.slice(0, 12)}: ${moved(backup)}` };
  });
  const diff = {
    name: 'show what moved',
    why: 'Show what moved: the two snapshots are compared by the ids of their chunks alone.',
  };
  await shell.command(`dray snapshot diff ${first} ${snapshot} -o json`, diff, ({ stdout }) => {
    const { extents } = parseSchema(diffSchema, JSON.parse(stdout));
    const seen = new Set(extents.flatMap(chunksOf));
    check(seen.size === chunks.size && chunks.isSubsetOf(seen), `${seen.size} chunks differ, not ${chunks.size}`);
    return {
      readBytes: 0,
      result: `${seen.size} of ${Math.ceil(sizeBytes / chunkBytes)} chunks differ: those that were changed`,
    };
  });
  return snapshot;
}

async function restoreAndCompare(
  { shell, folder, signal }: TourStepsParts,
  { snapshot, original, target }: { readonly snapshot: string; readonly original: string; readonly target: string },
): Promise<void> {
  const restore = { name: `restore ${target}`, why: `Restore snapshot ${snapshot.slice(0, 12)} to a new file.` };
  await shell.command(`dray restore ${snapshot} ${target} -o json`, restore, ({ stdout }) => {
    const { packedBytes, writtenBytes } = parseSchema(restoreSchema, JSON.parse(stdout));
    return {
      readBytes: packedBytes,
      result: `${formatSize(packedBytes)} read, ${formatSize(writtenBytes)} written and verified`,
    };
  });
  const compare = { name: `compare ${target}`, why: 'Compare it with the original, byte for byte.' };
  await shell.work({ ...compare, byHand: `cmp ${original} ${target}` }, async () => {
    const at = await firstDifference(join(folder, original), join(folder, target), { signal });
    check(at === undefined, `${target} differs from ${original} at byte ${at}`);
    return { result: 'equal' };
  });
}

async function damageAndFind({ shell, folder }: TourStepsParts): Promise<void> {
  const verify = 'dray repository verify --level data -o json';
  const whole = { name: 'verify', why: 'Verify the repository: read, decrypt and hash everything in it.' };
  await shell.command(verify, whole, ({ stdout }) => {
    const { readBytes } = parseSchema(verifySchema, JSON.parse(stdout));
    return { readBytes, result: `whole; ${formatSize(readBytes)} read` };
  });
  const copy = { name: 'copy the repository', why: 'Make a copy of the repository, to damage it.' };
  await shell.command('cp -r repository damaged', copy, () => ({ result: 'copied' }));
  const { path, offset, octal } = await byteToFlip(join(folder, 'damaged'));
  const flip = `printf '\\${octal}' | dd of=${shellWord(`damaged/${path}`)} bs=1 seek=${offset} conv=notrunc status=none`;
  const damage = { name: 'flip a byte', why: 'Flip one byte, in the middle of the largest pack of the copy.' };
  await shell.command(flip, damage, () => ({ result: 'flipped' }));
  const find = {
    name: 'verify finds it',
    why: 'Verify the copy: it names what is lost, and ends with status 4.',
    exitCode: 4,
  };
  const { snapshot } = await shell.command(`dray -r damaged ${verify.slice('dray '.length)}`, find, ({ stdout }) => {
    const { readBytes, damaged } = parseSchema(verifySchema, JSON.parse(stdout));
    const [lost] = damaged;
    check(lost !== undefined, 'verify names no damaged extent');
    const where = `snapshot ${lost.snapshot.slice(0, 12)} has lost ${formatSize(lost.length)} at ${lost.offset}`;
    return { readBytes, snapshot: lost.snapshot, result: `found: ${where}` };
  });
  const refuse = {
    name: 'restore refuses it',
    why: 'Restore from the copy: it refuses rather than deliver a wrong byte.',
    exitCode: 4,
  };
  await shell.command(`dray -r damaged restore ${snapshot} refused.img`, refuse, async ({ stderr }) => {
    check(!(await readdir(folder)).includes('refused.img'), 'refused.img is there, though it cannot be right');
    return {
      result: `refused: ${
        stderr
          .trim()
          .split('\n')
          .find((line) => line.startsWith('dray restore')) ?? 'status 4'
      }`,
    };
  });
}

/** A hundredth of the volume, at least one piece, at even distances. */
function changedPieces(sizeBytes: number): {
  count: number;
  stride: number;
  start: number;
  offsets: readonly number[];
} {
  const pieces = Math.floor(sizeBytes / pieceBytes);
  const count = Math.max(1, Math.round(pieces / 100));
  const stride = Math.floor(pieces / count);
  const start = Math.floor(stride / 3);
  const offsets = Array.from({ length: count }, (_, at) => (at * stride + start) * pieceBytes);
  return { count, stride, start, offsets };
}

function chunksOf({ offset, length }: { readonly offset: number; readonly length: number }): number[] {
  const first = Math.floor(offset / chunkBytes);
  return Array.from({ length: Math.ceil((offset + length) / chunkBytes) - first }, (_, at) => first + at);
}

/** The middle of the largest pack of volume data, and the other value of that byte as `printf` takes it. */
async function byteToFlip(repository: string): Promise<{ path: string; offset: number; octal: string }> {
  let largest = { path: '', size: 0 };
  for (const path of await readdir(join(repository, 'p'), { recursive: true })) {
    const { size } = await stat(join(repository, 'p', path));
    if (path.endsWith('.f') && size > largest.size) largest = { path: join('p', path), size };
  }
  check(largest.size > 0, 'the repository has no pack');
  const offset = Math.floor(largest.size / 2);
  const byte = (await readFile(join(repository, largest.path)))[offset]! ^ 0xff;
  return { path: largest.path, offset, octal: byte.toString(8).padStart(3, '0') };
}

function moved({ readBytes, storedBytes }: { readonly readBytes: number; readonly storedBytes: number }): string {
  return `${formatSize(readBytes)} read, ${formatSize(storedBytes)} stored`;
}
