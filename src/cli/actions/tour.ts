import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { formatSize } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { formatDuration } from '../shell/sizes.ts';
import type { TourOptions } from '../tour.ts';
import { openTourFolder } from './tour-folder.ts';
import { imageBytesMin } from './tour-image.ts';
import { shellWord, TourShell, type TourStep } from './tour-shell.ts';
import { runSteps } from './tour-steps.ts';
import { poolBytes, runVolumeSteps, volumesMissing } from './tour-volume-steps.ts';

/** The volume, a copy, two restored, two repositories of most of it: times the volume's size. */
const spaceFactor = 6;
/** The same place for `src/` and for the published `dist/`. */
const launcherFolder = fileURLToPath(new URL('../../../bin', import.meta.url));

/** The whole path through the product, for real: everything that it prints has been run, and every claim was checked. */
export const tour: Action<TourOptions> = async (context, { keep, folder: wanted, sizeBytes }) => {
  const { log, clock, signal } = context;
  if (sizeBytes < imageBytesMin) {
    throw new CliError('usage', `the tour's volume must have at least ${formatSize(imageBytesMin)}`);
  }
  const startedMs = clock.monotonicMs();
  await using opened = await openTourFolder({ folder: wanted, keep, needsBytes: sizeBytes * spaceFactor + poolBytes });
  const folder = opened.path;
  if (keep) log.info(`Everything stays in ${folder}.`);
  const settings = {
    DRAY_REPOSITORY: join(folder, 'repository'),
    DRAY_CACHE_DIR: join(folder, 'cache'),
    DRAY_PASSWORD: 'tour',
  };
  // The pool that the environment names is none of the tour's.
  const env = { ...context.env, DRAY_POOL: undefined, ...settings, PATH: pathWithLauncher(context), NO_COLOR: '1' };
  announce(context, { folder, keep, settings });
  const shell = new TourShell({ folder, env, say: (line) => log.info(line), clock, signal });
  await runSteps({ shell, folder, sizeBytes, signal });
  const missing = await volumesMissing({ path: env.PATH, uid: process.getuid?.() ?? -1 });
  log.info('');
  if (missing === undefined) log.info('Now volumes that know what has changed in them, in a pool.');
  else log.info(`The chapter on volumes and pools is left out: ${missing}.`);
  if (missing === undefined) await runVolumeSteps({ shell, folder, signal });
  const durationMs = Math.round(clock.monotonicMs() - startedMs);
  await print(context, { folder, kept: keep, sizeBytes, durationMs, steps: shell.steps });
  log.info('');
  log.info(`All of it held, in ${formatDuration(durationMs)}.`);
  if (keep) log.info(`Look around: cd ${shellWord(folder)}`);
  return exitCodes.done;
};

function pathWithLauncher({ env }: CliContext): string {
  const rest = env['PATH'];
  return rest ? `${launcherFolder}:${rest}` : launcherFolder;
}

/** What to type first, to repeat the steps by hand. */
function announce(
  { log }: CliContext,
  { folder, keep, settings }: { readonly folder: string; readonly keep: boolean; readonly settings: object },
): void {
  log.info(
    keep
      ? 'Each command below is run as it stands. In a shell of your own they need:'
      : 'Each command below is run as it stands. To repeat them, leave the folder there with "dray tour --keep"; they need:',
  );
  log.info('');
  log.info(`   $ cd ${shellWord(folder)}`);
  log.info(`   $ export PATH=${shellWord(launcherFolder)}:"$PATH"`);
  for (const [name, value] of Object.entries(settings)) log.info(`   $ export ${name}=${shellWord(String(value))}`);
}

interface TourResult {
  readonly folder: string;
  readonly kept: boolean;
  readonly sizeBytes: number;
  readonly durationMs: number;
  readonly steps: readonly TourStep[];
}

async function print({ output, log }: CliContext, result: TourResult): Promise<void> {
  if (output.format === 'json' || output.format === 'yaml') {
    await output.record(result, { names: [], fields: [] });
    return;
  }
  const bytes = (count: number | undefined): string => (count === undefined ? '' : formatSize(count));
  log.info('');
  await output.list(result.steps, {
    name: ({ name }) => name,
    columns: [
      { header: 'STEP', value: ({ name }) => name },
      { header: 'TIME', value: ({ durationMs }) => `${(durationMs / 1000).toFixed(2)} s`, align: 'right' },
      { header: 'READ', value: ({ readBytes }) => bytes(readBytes), align: 'right' },
      { header: 'STORED', value: ({ storedBytes }) => bytes(storedBytes), align: 'right' },
      { header: 'RESULT', value: ({ result: text }) => text },
    ],
  });
}
