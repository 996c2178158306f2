/** A repository and a disk, for backups of what a real server shows of the disk, by the real program. */
import assert from 'node:assert/strict';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { seededRng } from '../../src/std/rng.ts';
import { run } from '../kernel/loop-device.ts';
import { type BackupPrinted, type DrayPlace, drayJson, runDray } from '../support/run-dray.ts';
import { temporaryFolder } from '../support/temporary.ts';

export interface Printed extends BackupPrinted {
  readonly reason: string;
  readonly passedOver: readonly { readonly rung: string; readonly reason: string }[];
  readonly parent?: string;
}

export const mib: number = 1024 * 1024;
const sizeBytes = 24 * mib;

export interface World extends AsyncDisposable {
  readonly folder: string;
  readonly place: DrayPlace;
  readonly socket: string;
  /** The disk as an image of raw bytes, with holes and an odd last part. */
  readonly raw: string;
  backup(server: { readonly url: string }, ...args: readonly string[]): Promise<Printed>;
  /** Restores the snapshot and compares it with the image. */
  isEqual(snapshot: string, image: string): Promise<boolean>;
}

export async function world(): Promise<World> {
  const folder = await temporaryFolder('nbd');
  const place = { repository: join(folder.path, 'repository'), cache: join(folder.path, 'cache'), password: 'p' };
  await mkdir(place.repository);
  assert.equal((await runDray(place, ['repository', 'create'])).exitCode, 0);
  const raw = join(folder.path, 'disk.img');
  const bytes = Buffer.alloc(sizeBytes);
  bytes.set(seededRng(1).bytes(5 * mib), 1 * mib + 4096);
  bytes.set(seededRng(2).bytes(3 * mib), 17 * mib);
  bytes.set(seededRng(3).bytes(512), sizeBytes - 512);
  await writeFile(raw, '');
  await using file = await open(raw, 'r+');
  await file.truncate(sizeBytes);
  for (const [start, end] of [
    [1, 7],
    [17, 20],
    [23, 24],
  ] as const) {
    await file.write(bytes.subarray(start * mib, end * mib), 0, (end - start) * mib, start * mib);
  }
  return {
    folder: folder.path,
    place,
    socket: join(folder.path, 'socket'),
    raw,
    backup: async (server, ...args) => await drayJson<Printed>(place, ['backup', server.url, ...args]),
    isEqual: async (snapshot, image) => {
      const target = join(folder.path, 'restored.img');
      await rm(target, { force: true });
      await drayJson(place, ['restore', snapshot, target]);
      return (await readFile(target)).equals(await readFile(image));
    },
    [Symbol.asyncDispose]: async () => await folder[Symbol.asyncDispose](),
  };
}

/** A qcow2 image with the disk's bytes. */
export async function qcow2({ folder, raw }: World): Promise<{ readonly image: string; readonly bytes: () => string }> {
  const image = join(folder, 'disk.qcow2');
  run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, image);
  return {
    image,
    bytes: () => {
      const now = join(folder, 'now.img');
      run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', image, now);
      return now;
    },
  };
}
