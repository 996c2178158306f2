/** Volumes that are nearly all holes, at sizes where anything that grows with the volume would show. */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { keystream } from '../src/cli/actions/tour-image.ts';
import { mountXfs, xfsMissing } from './devices.ts';
import { DrayPeer } from './peers/dray.ts';
import type { Samples } from './samples.ts';
import { settle, type Workspace } from './workspace.ts';

const gib = 2 ** 30;
const pieceBytes = 1024 * 1024;
/** Data in each sparse volume, MiB. */
const pieces = 64;

export const sparseSizes: readonly { readonly name: string; readonly sizeBytes: number; readonly xfs: boolean }[] = [
  { name: '64 GiB sparse', sizeBytes: 64 * gib, xfs: false },
  { name: '16 TiB sparse', sizeBytes: 16 * 1024 * gib, xfs: true },
];

export interface SparseParts {
  readonly workspace: Workspace;
  readonly samples: Samples;
  readonly rounds: number;
  readonly signal: AbortSignal;
}

/** @returns the sizes that were left out, each with the reason. */
export async function measureSparse(parts: SparseParts): Promise<string[]> {
  const skipped: string[] = [];
  for (const { name, sizeBytes, xfs } of sparseSizes) {
    const missing = xfs ? xfsMissing() : undefined;
    if (missing !== undefined) {
      skipped.push(`${name}: an XFS ${missing}`);
      continue;
    }
    await using mounted = xfs ? await mountXfs(parts.workspace) : undefined;
    await measureSize(parts, { name, sizeBytes, folder: mounted?.path ?? parts.workspace.folder });
  }
  return skipped;
}

async function measureSize(
  { workspace, samples, rounds, signal }: SparseParts,
  { name, sizeBytes, folder }: { readonly name: string; readonly sizeBytes: number; readonly folder: string },
): Promise<void> {
  const image = join(folder, 'sparse.img');
  await writeSparse(image, sizeBytes);
  const dray = new DrayPeer({ folder: workspace.path('sparse-dray'), signal });
  const about = { volumeBytes: sizeBytes };
  for (let round = 0; round < rounds; round++) {
    await dray.create();
    settle();
    const { snapshot, ...full } = await dray.backup(image);
    samples.add(`full backup of ${name}, dray`, full, { ...about, readBytes: full.readBytes });
    const none = await dray.backup(image, { changes: { parent: snapshot, extents: [] } });
    samples.add(`no change of ${name}, dray`, none, { ...about, readBytes: none.readBytes });
    const target = join(folder, 'sparse-restored.img');
    samples.add(`restore of ${name}, dray`, await dray.restoreSnapshot(snapshot, target), about);
    await mustHold(target, sizeBytes);
    await rm(target);
    await dray.remove();
  }
  await rm(image);
}

async function writeSparse(path: string, sizeBytes: number): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(sizeBytes);
  for (const [at, offset] of offsetsOf(sizeBytes).entries()) {
    await file.write(keystream(`sparse ${at}`, pieceBytes), 0, pieceBytes, offset);
  }
  await file.sync();
}

/** The data is where it was; the holes in between are what the tests of restoring are about. */
async function mustHold(path: string, sizeBytes: number): Promise<void> {
  await using file = await open(path, 'r');
  if ((await file.stat()).size !== sizeBytes) throw new Error(`${path} has another size`);
  for (const [at, offset] of offsetsOf(sizeBytes).entries()) {
    const { buffer } = await file.read(Buffer.alloc(pieceBytes), 0, pieceBytes, offset);
    if (!buffer.equals(keystream(`sparse ${at}`, pieceBytes))) throw new Error(`${path} differs at ${offset}`);
  }
}

/** Evenly over the volume, the last one at its end. */
function offsetsOf(sizeBytes: number): number[] {
  const stride = Math.floor(sizeBytes / pieces / pieceBytes) * pieceBytes;
  return Array.from({ length: pieces }, (_, at) => (at + 1) * stride - pieceBytes);
}
