/** A snapshot stored, restored, and compared with what it is; what is a file system is checked by its own program. */
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { attachLoop, detachLoop } from '../../src/kernel/loop-device.ts';
import { mountFileSystem, unmountFileSystem } from '../../src/kernel/mount.ts';
import type { PoolSnapshot } from '../../src/pool/pool.ts';
import { backUpVolume } from '../support/back-up-volume.ts';
import { restoreFile } from '../support/engine.ts';
import { FileWriter, readFiles, type KnownFiles } from './file-writer.ts';
import { readImage } from './images.ts';
import { run, signal, volumeName, type TortureWorld } from './torture-world.ts';

export interface BackupChecked {
  readonly byExtents: boolean;
  readonly checkedFileSystem: boolean;
}

/** @throws {Error} that says what is wrong */
export async function checkBackup(
  world: TortureWorld,
  { snapshot, image, spare }: { readonly snapshot: PoolSnapshot; readonly image: Buffer; readonly spare: Buffer },
): Promise<BackupChecked> {
  const { writer, folder, torture } = world;
  const { engine, pool } = world;
  const result = await backUpVolume(engine, pool, { volume: volumeName, snapshot: snapshot.snapshot, signal });
  if (result.audit !== undefined && result.audit.missed.length > 0) {
    throw new Error(
      `the audit of ${snapshot.snapshot} found changes that were not reported: ${result.audit.missed.join(', ')}`,
    );
  }
  const restored = join(folder, 'restored');
  await restoreFile(world.engine, result.snapshot, restored);
  const bytes = await readImage(restored, spare);
  if (!bytes.equals(image)) throw new Error(`the restored ${snapshot.snapshot} is not equal to the snapshot`);
  const isFiles = writer instanceof FileWriter;
  if (isFiles) {
    const { consistency } = snapshot.record;
    if (consistency === 'crash') throw new Error(`${snapshot.snapshot} was not frozen: ${snapshot.record.reason}`);
    const options = { restored, mountPoint: join(folder, 'checked'), known: writer.known };
    if (torture.inner === 'ext4') await checkExt4(options);
    else await checkXfs(options);
  }
  await rm(restored);
  return { byExtents: result.changes.rung === 'extents', checkedFileSystem: isFiles };
}

interface ImageToCheck {
  readonly restored: string;
  readonly mountPoint: string;
  readonly known: KnownFiles | undefined;
}

/** Clean as it is: nothing in its journal waits. */
async function checkExt4({ restored, mountPoint, known }: ImageToCheck): Promise<void> {
  const head = await run('dumpe2fs', '-h', restored);
  if (head.includes('needs_recovery')) throw new Error('the journal of a frozen ext4 has to be replayed');
  await run('fsck.ext4', '-f', '-n', restored);
  await compareFiles(restored, { mountPoint, known, type: 'ext4', options: ['ro', 'noload'] });
}

/** Its files are there without its log; the log, which a freeze does not close, then has nothing more to say. */
async function checkXfs({ restored, mountPoint, known }: ImageToCheck): Promise<void> {
  await compareFiles(restored, { mountPoint, known, type: 'xfs', options: ['ro', 'norecovery', 'nouuid'] });
  await compareFiles(restored, { mountPoint, known, type: 'xfs', options: ['ro', 'nouuid'] });
  await run('xfs_repair', '-n', '-f', restored);
}

async function compareFiles(
  image: string,
  how: {
    readonly mountPoint: string;
    readonly known: KnownFiles | undefined;
    readonly type: string;
    readonly options: readonly string[];
  },
): Promise<void> {
  const { mountPoint, known, type, options } = how;
  await using stack = new AsyncDisposableStack();
  const { path } = await attachLoop(image, { readOnly: false, sectorBytes: 512, signal });
  stack.defer(async () => await detachLoop(path, { signal }));
  await mountFileSystem(path, mountPoint, { type, options, signal });
  stack.defer(async () => await unmountFileSystem(mountPoint));
  if (known === undefined) return;
  const found = await readFiles(mountPoint);
  for (const name of new Set([...known.files.keys(), ...found.keys()])) {
    if (known.uncertain.has(name)) continue;
    const [expected, is] = [known.files.get(name), found.get(name)];
    if (expected === undefined || is === undefined || !expected.equals(is)) {
      throw new Error(
        `${name} on the restored ${type} is not as it was written: ${is?.length} bytes, not ${expected?.length}`,
      );
    }
  }
}
