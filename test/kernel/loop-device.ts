import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface LoopDevice extends AsyncDisposable {
  /** A folder for mount points and the like, removed at the end. */
  readonly folder: string;
  readonly image: string;
  readonly device: string;
}

/** Why loop devices cannot be made here, or false. */
export function loopDevicesMissing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  return spawnSync('losetup', ['-f']).status === 0 ? false : 'needs loop devices';
}

/** Attaches a new image file of this size. Disposing detaches and removes it. */
export async function attachLoop(sizeBytes: number): Promise<LoopDevice> {
  const folder = await mkdtemp(join(tmpdir(), 'dray-loop-'));
  const image = join(folder, 'image');
  await writeFile(image, '');
  await truncate(image, sizeBytes);
  const device = run('losetup', '-f', '--show', image).trim();
  return {
    folder,
    image,
    device,
    [Symbol.asyncDispose]: async () => {
      run('losetup', '-d', device);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Runs a program of the system to its end; throws with what it said when it fails. */
export function run(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}
