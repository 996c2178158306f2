/** The volume that the kill tests back up and restore: large enough for several checkpoints, of every kind of data. */
import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { drayJson, runDray, type BackupPrinted, type DrayPlace } from '../support/run-dray.ts';
import { changeVolume, writeVolume, type VolumeModel } from '../support/volume-model.ts';

const mib = 1024 * 1024;

/** Checkpoint interval of volumes up to 50 GiB (`transfer/checkpoint-clock.ts`). */
export const intervalBytes: number = 256 * mib;

const volume: VolumeModel = {
  sizeBytes: 1536 * mib + 12_345,
  pieces: [
    { offset: 0, lengthBytes: 400 * mib, kind: 'random', seed: 1 },
    { offset: 401 * mib + 4096, lengthBytes: 500 * mib, kind: 'text', seed: 2 },
    { offset: 1000 * mib, lengthBytes: 40 * mib, kind: 'zeros', seed: 0 },
    { offset: 1100 * mib + 1, lengthBytes: 440 * mib, kind: 'random', seed: 3 },
  ],
};

/** A file that stands where a restore shall go: partly what will be there, partly not. */
const other: VolumeModel = {
  sizeBytes: 96 * mib + 17,
  pieces: [
    { offset: 0, lengthBytes: 48 * mib, kind: 'random', seed: 1 },
    { offset: 60 * mib, lengthBytes: 36 * mib, kind: 'random', seed: 9 },
  ],
};

/** What had been backed up before: the volume is this with the changes of `volume` over it. */
const earlier: VolumeModel = {
  sizeBytes: 1500 * mib,
  pieces: [
    { offset: 0, lengthBytes: 300 * mib, kind: 'random', seed: 1 },
    { offset: 401 * mib + 4096, lengthBytes: 300 * mib, kind: 'text', seed: 2 },
  ],
};

export interface CrashWorld {
  readonly folder: string;
  readonly source: string;
  /** A file to be overwritten. */
  readonly bystander: string;
  /** Repositories to copy: an empty one, and one that holds an earlier state of the source. */
  readonly templates: readonly string[];
  readonly password: string;
  /** A repository that holds the source whole, as this snapshot. */
  readonly whole: DrayPlace;
  readonly snapshot: string;
  /** What an undisturbed backup reads: everything but holes. */
  readonly runBytes: number;
}

/** The same volume at a part of its size, for a machine that has little time. */
function scaled({ sizeBytes, pieces }: VolumeModel, scale: number): VolumeModel {
  const at = (bytes: number): number => Math.floor(bytes * scale);
  const smaller = pieces.map((piece) => ({ ...piece, offset: at(piece.offset), lengthBytes: at(piece.lengthBytes) }));
  return { sizeBytes: at(sizeBytes), pieces: smaller };
}

/** Makes source and repositories in `folder`, once for all points. */
export async function makeCrashWorld(folder: string, { scale }: { readonly scale: number }): Promise<CrashWorld> {
  const files = { source: join(folder, 'volume.img'), bystander: join(folder, 'bystander.img') };
  const world = { folder, ...files, password: 'of the crash tests' };
  const templates = [join(folder, 'empty'), join(folder, 'earlier')];
  await writeVolume(world.source, scaled(earlier, scale));
  for (const [index, repository] of templates.entries()) {
    const place = { repository, cache: join(folder, 'template-cache'), password: world.password };
    await must(place, ['repository', 'create']);
    if (index === 1) await must(place, ['backup', world.source]);
  }
  await changeVolume(world.source, scaled(volume, scale));
  await writeVolume(world.bystander, other);
  await mkdir(join(folder, 'points'));
  const whole = await wholeRun(world, templates[0]!);
  return { ...world, ...whole, templates };
}

/** One undisturbed backup, to measure the others by and to restore from. */
async function wholeRun(
  { folder, source, password }: Pick<CrashWorld, 'folder' | 'source' | 'password'>,
  template: string,
): Promise<Pick<CrashWorld, 'whole' | 'snapshot' | 'runBytes'>> {
  const whole = { repository: join(folder, 'whole'), cache: join(folder, 'whole-cache'), password };
  await cp(template, whole.repository, { recursive: true });
  const { snapshot, readBytes } = await drayJson<BackupPrinted>(whole, ['backup', source]);
  return { whole, snapshot, runBytes: readBytes };
}

/** Runs a command that has to succeed. */
export async function must(place: DrayPlace, args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runDray(place, args);
  if (exitCode !== 0) throw new Error(`dray ${args.join(' ')} ended with ${exitCode}\n${stderr}${stdout}`);
  return stdout;
}
