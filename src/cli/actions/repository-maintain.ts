import { join } from 'node:path';

import { maintain, type MaintenanceResult } from '../../maintenance/maintain.ts';
import type { TaskReport } from '../../maintenance/task-runner.ts';
import { setMaintenanceOwner } from '../../repository/manifest/maintenance-params.ts';
import { repositoryId } from '../../repository/repository-id.ts';
import { identityText } from '../../repository/repository.ts';
import { formatSize } from '../../std/format-size.ts';
import { formatGoTime } from '../../std/go-time.ts';
import { CliError } from '../shell/cli-error.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { exitCodes, type ExitCode } from '../shell/exit-code.ts';
import type { RepositoryMaintainOptions } from '../repository-maintain.ts';
import { changeManifests } from './change-manifests.ts';
import { openRepository, requestsText, type OpenRepository, type RepositoryAction } from './open-repository.ts';

export const repositoryMaintain: RepositoryAction<RepositoryMaintainOptions> = async (context, options, opening) => {
  const { clock, rng, signal, identity, log } = context;
  await using opened = await openRepository(context, opening);
  const { repository } = opened;
  if (options.owner !== undefined) return await changeOwner(context, opened, options.owner);
  const name = repositoryId(repository.opened).slice(0, 16);
  const folder = join(context.cacheDirectory(), `${name}-maintenance`);
  const progress = context.progress();
  const result = await maintain(
    { repository, clock, rng, identity, folder },
    {
      ...options,
      onTask: (task) => progress.update({ phase: task, doneBytes: 0, totalBytes: 0 }),
      onWarning: (text) => log.warn(text),
      signal,
    },
  );
  progress.end();
  await print(context, result, { dryRun: options.dryRun, requests: opened.requests() });
  return exitCodes.done;
};

async function changeOwner(context: CliContext, { repository }: OpenRepository, named: string): Promise<ExitCode> {
  const owner = named === 'me' ? identityText(context.identity) : named;
  if (!/^[^@\s]+@[^@\s]+$/.test(owner)) throw new CliError('usage', `--owner ${named} is not of the form user@host`);
  const set = await repository.manifests.load({ signal: context.signal });
  await changeManifests(context, { repository, set }, () => setMaintenanceOwner(set, owner));
  await context.output.record({ owner }, { names: [owner], fields: [['Maintenance owner', owner]] });
  return exitCodes.done;
}

async function print(
  context: CliContext,
  { owner, mode, nextFull, nextQuick, tasks }: MaintenanceResult,
  { dryRun, requests }: { readonly dryRun: boolean; readonly requests: ReturnType<OpenRepository['requests']> },
): Promise<void> {
  for (const { task, refused } of tasks) {
    if (refused === undefined) continue;
    context.log.warn(`${task}: the store would not let go of ${refused.count} blobs (${refused.reason})`);
  }
  const total = (pick: (report: TaskReport) => TaskReport['removed']): { count: number; bytes: number } => {
    const tallies = tasks.map(pick).filter((tally) => tally !== undefined);
    return {
      count: tallies.reduce((sum, { count }) => sum + count, 0),
      bytes: tallies.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  };
  const removed = total((report) => report.removed);
  const marked = total((report) => report.marked);
  const next = { full: formatGoTime(nextFull), quick: formatGoTime(nextQuick) };
  const value = { mode, dryRun, owner, removed, marked, next, tasks, requests };
  const would = dryRun ? 'would be ' : '';
  const fields: [string, string][] =
    mode === 'none'
      ? [['Maintenance', `nothing is due until ${nextFull < nextQuick ? next.full : next.quick}`]]
      : [
          ['Maintenance', `${mode}${dryRun ? ', nothing was written' : ''}`],
          ...tasks.map(({ task, state, summary }): [string, string] => [
            task,
            state === 'skipped' ? `not now: ${summary}` : summary,
          ]),
          ['Removed', `${removed.count} blobs, ${formatSize(removed.bytes)} ${would}given back`],
          ['Marked', `${marked.count} contents, ${formatSize(marked.bytes)} ${would}marked as unused`],
          ['Store', requestsText(requests)],
        ];
  await context.output.record(value, { names: tasks.map(({ task }) => task), fields });
}
