/** One sparse volume through both programs: what each step cost. Used by the tests and by `npm run test:scale`. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { measuredRun } from './measured-run.ts';
import { assertSameSparse, writeSparseImage } from './sparse-image.ts';

export interface ScaleRequest {
  readonly sizeBytes: number;
  /** Where the image and what is restored of it lie; it must hold sparse files of that size. */
  readonly folder: string;
  readonly kopia: string;
  /**
   * What kopia does: all but reading of the data of holes is `lists`; `data` reads the whole volume and takes a minute
   * for each 20 GiB or so; `none` leaves kopia out.
   */
  readonly byKopia: 'none' | 'lists' | 'data';
  readonly signal: AbortSignal;
}

export interface ScaleStep {
  readonly what: string;
  readonly seconds: number;
  readonly peakBytes: number;
}

const dray = join(import.meta.dirname, '../../bin/dray');
const password = 'scale';

export async function scaleRun({
  sizeBytes,
  folder,
  kopia,
  byKopia,
  signal,
}: ScaleRequest): Promise<readonly ScaleStep[]> {
  const home = await mkdtemp(join(tmpdir(), 'dray-scale-'));
  const repository = join(home, 'repository');
  const steps: ScaleStep[] = [];
  const environment = {
    DRAY_REPOSITORY: repository,
    DRAY_PASSWORD: password,
    DRAY_CACHE_DIR: join(home, 'cache'),
    KOPIA_PASSWORD: password,
    KOPIA_CONFIG_PATH: join(home, 'kopia.config'),
    KOPIA_CACHE_DIRECTORY: join(home, 'kopia-cache'),
    KOPIA_LOG_DIR: join(home, 'kopia-logs'),
    KOPIA_CHECK_FOR_UPDATES: 'false',
  };
  const step = async (program: string, ...args: readonly string[]): Promise<string> => {
    signal.throwIfAborted();
    const { stdout, seconds, peakBytes } = await measuredRun(program, args, environment);
    const name = program === dray ? 'dray' : 'kopia';
    const words = args.filter((arg) => !arg.startsWith('/') && !/^[0-9a-f]{32}$/.test(arg));
    steps.push({ what: [name, ...words].join(' '), seconds, peakBytes });
    return stdout;
  };
  const identity = ['--identity', 'tester@scale'];
  try {
    await mkdir(repository);
    const image = join(folder, 'image');
    const restored = join(folder, 'restored');
    await writeSparseImage(image, sizeBytes);
    await measuredRun(dray, ['repository', 'create', repository, ...identity], environment);
    const snapshot = (await step(dray, 'backup', image, ...identity, '-o', 'name')).trim();
    await step(dray, 'backup', image, ...identity, '--trust-mtime', '-o', 'name');
    if (byKopia !== 'none') await kopiaSteps();
    await step(dray, 'repository', 'verify', '--level', 'data');
    await step(dray, 'restore', snapshot, restored);
    await assertSameSparse(restored, image, signal);
    await rm(restored);
    await rm(image);
    return steps;
  } finally {
    await rm(home, { recursive: true, force: true });
  }

  async function kopiaSteps(): Promise<void> {
    const as = ['--override-username=tester', '--override-hostname=scale'];
    await measuredRun(kopia, ['repository', 'connect', 'filesystem', `--path=${repository}`, ...as], environment);
    await step(kopia, 'snapshot', 'verify', ...(byKopia === 'data' ? ['--verify-files-percent=100'] : []));
    await step(kopia, 'content', 'verify', '--download-percent=100');
    await step(kopia, 'maintenance', 'run', '--full', '--safety=none');
  }
}
