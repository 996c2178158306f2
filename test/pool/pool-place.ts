/** A pool on a file system of its own, for the real program. What a failed test leaves attached or mounted goes with it. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../kernel/loop-device.ts';
import { mountedFileSystem, smallestBytes, type FileSystemKind } from '../support/file-system.ts';
import { runDray, type DrayEnded, type DrayPlace } from '../support/run-dray.ts';
import { temporaryFolder } from '../support/temporary.ts';

export interface PoolPlace extends AsyncDisposable {
  readonly place: DrayPlace & { readonly pool: string };
  /** For mount points and files that are no part of the pool. */
  readonly folder: string;
  /** Runs a command to its end. */
  readonly dray: (...args: readonly string[]) => Promise<DrayEnded>;
  /** Runs a command that must succeed. @returns what it printed */
  readonly told: (...args: readonly string[]) => Promise<string>;
  /** As `told`, with `-o json`. */
  readonly json: <T>(...args: readonly string[]) => Promise<T>;
}

/** The pool is not made yet. */
export async function poolPlace(kind: FileSystemKind = 'xfs'): Promise<PoolPlace> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await mountedFileSystem(kind, smallestBytes[kind]));
  const { path: folder } = stack.use(await temporaryFolder('pool'));
  const pool = join(path, 'pool');
  stack.defer(() => endDevicesBelow(pool));
  const place = { repository: join(folder, 'repository'), cache: join(folder, 'cache'), password: 'secret', pool };
  const owned = stack.move();
  const dray = async (...args: readonly string[]): Promise<DrayEnded> => await runDray(place, args);
  const told = async (...args: readonly string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await dray(...args);
    if (exitCode !== 0) throw new Error(`dray ${args.join(' ')} ended with ${exitCode}\n${stderr}${stdout}`);
    return stdout;
  };
  return {
    place,
    folder,
    dray,
    told,
    json: async <T>(...args: readonly string[]) => JSON.parse(await told(...args, '-o', 'json')) as T,
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

/** A pool with a volume `data` that has an ext4. */
export async function withVolume(): Promise<PoolPlace> {
  const world = await poolPlace();
  try {
    await world.told('pool', 'create', world.place.pool);
    await world.told('volume', 'create', 'data', '--size', '32M', '--mkfs', 'ext4');
    return world;
  } catch (error) {
    await world[Symbol.asyncDispose]();
    throw error;
  }
}

/** Attaches and mounts `data`; ends both again. */
export async function mounted({
  told,
  folder,
}: PoolPlace): Promise<{ readonly path: string; readonly unmount: () => Promise<void> }> {
  const path = join(folder, 'mounted');
  await mkdir(path, { recursive: true });
  run('mount', (await told('volume', 'attach', 'data', '-o', 'name')).trim(), path);
  const unmount = async (): Promise<void> => {
    run('umount', path);
    await told('volume', 'detach', 'data');
  };
  return { path, unmount };
}

/** Of a volume (`data/live`) or a snapshot (`data/snapshots/mon`). */
export const imageOf = async ({ place }: PoolPlace, below: string): Promise<Buffer> =>
  await readFile(join(place.pool, 'volumes', below, 'image'));

/** Offsets of blocks of 4 KiB. */
export function blocksThatDiffer(a: Buffer, b: Buffer): number[] {
  const found: number[] = [];
  for (let offset = 0; offset < b.length; offset += 4096) {
    if (!a.subarray(offset, offset + 4096).equals(b.subarray(offset, offset + 4096))) found.push(offset);
  }
  return found;
}

/** `dray changes -o json` */
export interface ChangesPrinted {
  readonly rung: string;
  readonly sizeBytes: number;
  readonly durationMs: number;
  readonly extents: readonly { readonly offset: number; readonly length: number }[];
}

/** Unmounts and detaches every loop device whose file lies below a folder. */
export function endDevicesBelow(folder: string): void {
  for (const { name, file } of loopDevices()) {
    if (!file.startsWith(`${folder}/`)) continue;
    for (const line of run('cat', '/proc/self/mounts').split('\n')) {
      const [device, mountPoint = ''] = line.split(' ');
      if (device === name) run('umount', mountPoint);
    }
    run('losetup', '-d', name);
  }
}

export function loopDevices(): { readonly name: string; readonly file: string }[] {
  return run('losetup', '-l', '-n', '-O', 'NAME,BACK-FILE')
    .split('\n')
    .flatMap((line) => {
      const [name, file] = line.trim().split(/\s+/);
      return name === undefined || file === undefined ? [] : [{ name, file }];
    });
}
