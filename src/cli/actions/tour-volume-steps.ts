/**
 * The tour's chapter on volumes: a pool in an image, a volume with a real file system, three snapshots of it while it is mounted,
 * what changed between them, and a backup that read only that. It needs root, loop devices and the programs that make
 * file systems; where one of these is missing the tour says so and goes on without.
 */
import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';

import { formatSize } from '../../std/format-size.ts';
import { parseSchema } from '../../std/schema.ts';
import { firstDifference } from './first-difference.ts';
import { check, type TourShell } from './tour-shell.ts';

export interface VolumeStepsParts {
  readonly shell: TourShell;
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** What the image of the pool may take on disk: it is sparse, and holds little more than the files. */
export const poolBytes: number = 192 * 1024 * 1024;

const snapshotsSchema = v.array(v.object({ consistency: v.string(), frozenMs: v.number() }));
const changesSchema = v.object({ rung: v.string(), extents: v.array(v.object({ length: v.number() })) });
const backupSchema = v.object({
  snapshot: v.string(),
  rung: v.string(),
  sizeBytes: v.number(),
  readBytes: v.number(),
  storedBytes: v.number(),
  poolSnapshot: v.string(),
});

/** Why the chapter cannot be shown here, or undefined. */
export async function volumesMissing({
  path,
  uid,
}: {
  path: string | undefined;
  uid: number;
}): Promise<string | undefined> {
  if (uid !== 0) return 'it needs root';
  for (const program of ['mkfs.xfs', 'mkfs.ext4', 'fsck.ext4', 'mount']) {
    const places = [...(path ?? '').split(':'), '/usr/sbin', '/sbin'];
    const found = await Promise.all(
      places.map(
        async (place) =>
          await access(join(place, program), constants.X_OK).then(
            () => true,
            () => false,
          ),
      ),
    );
    if (!found.includes(true)) return `${program} is not installed`;
  }
  return await access('/dev/loop-control').then(
    () => undefined,
    () => 'there are no loop devices',
  );
}

export async function runVolumeSteps(parts: VolumeStepsParts): Promise<void> {
  await using _closing = { [Symbol.asyncDispose]: async () => await closeAll(parts.folder) };
  await makeVolume(parts);
  await takeSnapshots(parts);
  await seeChanges(parts);
  await backUpIncrement(parts);
}

async function makeVolume({ shell }: VolumeStepsParts): Promise<void> {
  const ok = (result: string) => () => ({ result });
  const pool = 'Make a pool: an XFS in a sparse image, which can share blocks between volumes and their snapshots.';
  await shell.command(
    'dray pool create pool --image pool.img --size 1G -o json',
    { name: 'make a pool', why: pool },
    ok('made'),
  );
  const why = 'Make a volume of 256 MiB in it, with an ext4, and mount it as a block device.';
  const make = 'dray --pool pool volume create data --size 256M --mkfs ext4 -o json';
  await shell.command(make, { name: 'make a volume with ext4', why }, ok('made'));
  const mount = 'mkdir mounted && mount "$(dray --pool pool volume attach data -o name)" mounted';
  await shell.command(
    mount,
    { name: 'attach and mount it', why: 'Attach it, and mount what it is attached as.' },
    ok('mounted'),
  );
}

async function takeSnapshots({ shell }: VolumeStepsParts): Promise<void> {
  const steps = [
    ['monday', 'head -c 40M /dev/urandom > mounted/database', 'Write 40 MiB'],
    [
      'tuesday',
      'head -c 2M /dev/urandom | dd of=mounted/database seek=3 bs=1M conv=notrunc status=none',
      'Overwrite 2 MiB',
    ],
    ['wednesday', 'head -c 1M /dev/urandom > mounted/log', 'Write a new file of 1 MiB'],
  ] as const;
  for (const [name, write, what] of steps) {
    const why = `${what}, not even synced, and take a snapshot of the mounted volume: its file system is frozen for a moment.`;
    const command = `${write} && dray --pool pool snapshot create data --name ${name} -o json`;
    await shell.command(command, { name: `snapshot ${name}`, why }, ({ stdout }) => {
      const [snapshot] = parseSchema(snapshotsSchema, JSON.parse(stdout));
      check(snapshot?.consistency === 'frozen', `the snapshot is "${snapshot?.consistency}", not frozen`);
      return { result: `data@${name}, writers waited ${Math.round(snapshot.frozenMs)} ms` };
    });
    if (name !== 'monday') continue;
    const first = 'Back up the first one: nothing is known of the volume, so what it holds is read.';
    await shell.command(
      'dray --pool pool backup data@monday -o json',
      { name: 'back up monday', why: first },
      ({ stdout }) => {
        const backup = parseSchema(backupSchema, JSON.parse(stdout));
        check(backup.rung === 'scan', `a first backup used "${backup.rung}"`);
        return { ...backup, result: `${formatSize(backup.readBytes)} of ${formatSize(backup.sizeBytes)} read` };
      },
    );
  }
}

async function seeChanges({ shell }: VolumeStepsParts): Promise<void> {
  const why = 'Ask what changed from monday to wednesday: the file system of the pool knows, and no data is read.';
  await shell.command(
    'dray --pool pool changes data@monday data@wednesday -o json',
    { name: 'what changed', why },
    ({ stdout }) => {
      const { rung, extents } = parseSchema(changesSchema, JSON.parse(stdout));
      const bytes = extents.reduce((sum, { length }) => sum + length, 0);
      check(rung === 'extents', `the changes were found by "${rung}"`);
      check(
        bytes >= 3 * 1024 ** 2 && bytes < 16 * 1024 ** 2,
        `${bytes} bytes are said to have changed, 3 MiB were written`,
      );
      return { result: `${extents.length} extents, ${formatSize(bytes)}` };
    },
  );
}

async function backUpIncrement({ shell, folder, signal }: VolumeStepsParts): Promise<void> {
  const why =
    'Back up the volume as it is now. Only chunks that have changed since monday are read, and a sample as an audit.';
  const { snapshot, poolSnapshot } = await shell.command(
    'dray --pool pool backup data -o json',
    { name: 'back up only what changed', why },
    ({ stdout }) => {
      const backup = parseSchema(backupSchema, JSON.parse(stdout));
      check(backup.rung === 'extents', `the backup used "${backup.rung}" instead of the extents`);
      check(backup.readBytes <= 24 * 1024 ** 2, `${backup.readBytes} bytes were read for 3 MiB that changed`);
      return { ...backup, result: `${formatSize(backup.readBytes)} read, ${formatSize(backup.storedBytes)} stored` };
    },
  );
  const back = {
    name: 'restore the volume',
    why: 'Restore that backup to a file, and have ext4 checked by its own program.',
  };
  const command = `dray restore ${snapshot} volume-restored.img -o json && fsck.ext4 -fn volume-restored.img`;
  await shell.command(command, back, () => ({ result: 'restored, and clean' }));
  const compare = {
    name: 'compare the volume',
    why: 'Compare it with the snapshot that was backed up, byte for byte.',
  };
  const original = join('pool', 'volumes', 'data', 'snapshots', poolSnapshot.slice('data@'.length), 'image');
  await shell.work({ ...compare, byHand: `cmp ${original} volume-restored.img` }, async () => {
    const at = await firstDifference(join(folder, original), join(folder, 'volume-restored.img'), { signal });
    check(at === undefined, `the restored image differs at byte ${at}`);
    return { result: 'equal' };
  });
  const close = {
    name: 'close the pool',
    why: 'Unmount and detach the volume, and close the pool; "dray pool open" opens it again.',
  };
  const closing = 'umount mounted && dray --pool pool volume detach data -o name && dray pool close pool -o name';
  await shell.command(closing, close, () => ({ result: 'closed' }));
}

/** Also after a failure in the middle: whatever is still mounted or attached goes, in the order in which it can. */
async function closeAll(folder: string): Promise<void> {
  const launcher = process.argv[1];
  const run = async (file: string, ...args: readonly string[]): Promise<void> => {
    await promisify(execFile)(file, [...args], { cwd: folder }).catch(() => undefined);
  };
  await run('umount', 'mounted');
  if (launcher === undefined) return;
  await run(process.execPath, launcher, 'volume', 'detach', 'data', '--pool', 'pool');
  await run(process.execPath, launcher, 'pool', 'close', 'pool');
}
