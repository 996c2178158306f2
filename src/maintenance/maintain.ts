/**
 * One run of maintenance, by Kopia's rules and beside Kopia (`maintenance_run.go`, `snapshotmaintenance`): who may, what
 * is due, in which order, and what is told of it.
 *
 * Durable when: the next times are put before anything else, so that a run that is killed is not repeated at once; the
 * blob's own time of that put is when the maintenance began, by the clock that all blobs have theirs from. After each task
 * its result goes into the history. A task that is killed leaves no entry: nothing that hangs on the history is then
 * allowed earlier than without it. (Only the pause between writing contents again and removing their old packs counts
 * from an entry: if that cannot be put, the run stops.)
 *
 * A full store: what needs no room, removing, is done even where the history cannot be put. See `docs/adr/0014`.
 */
import { join } from 'node:path';

import type { MaintenanceParams } from '../repository/manifest/maintenance-params.ts';
import { maintenanceParams } from '../repository/manifest/maintenance-params.ts';
import type { Identity, Repository } from '../repository/repository.ts';
import type { Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import { nanosecondsFromMs, type Nanoseconds } from '../std/go-time.ts';
import type { Rng } from '../std/rng.ts';
import { MaintenanceError } from './maintenance-error.ts';
import { lockMaintenance } from './maintenance-lock.ts';
import { requireOwner } from './ownership.ts';
import { clocksAgree, dueMode, type Mode } from './safety.ts';
import type { Schedule } from './schedule.ts';
import { ScheduleBlob } from './schedule-blob.ts';
import type { TaskContext } from './task.ts';
import { TaskRunner, type TaskReport } from './task-runner.ts';
import { runFull, runQuick, runRemovals } from './task-order.ts';

export interface MaintenanceParts {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly identity: Identity;
  /** Local, of this repository alone. */
  readonly folder: string;
}

export interface MaintenanceRequest {
  readonly mode: 'auto' | 'quick' | 'full';
  /** Say what would be done, and write nothing. Anybody may ask. */
  readonly dryRun: boolean;
  readonly onTask: (task: string) => void;
  readonly onWarning: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface MaintenanceResult {
  readonly owner: string | undefined;
  /** `none` when nothing is due. */
  readonly mode: Mode;
  readonly nextFull: Nanoseconds;
  readonly nextQuick: Nanoseconds;
  readonly tasks: readonly TaskReport[];
}

/** @throws {MaintenanceError}; {RepositoryError}; {BlobError} */
export async function maintain(parts: MaintenanceParts, request: MaintenanceRequest): Promise<MaintenanceResult> {
  const { repository, clock, identity, folder } = parts;
  const { dryRun, signal } = request;
  const params = maintenanceParams(await repository.manifests.load({ signal }));
  if (!dryRun) requireOwner(params.owner, identity);
  const { store, opened } = repository;
  const blob = new ScheduleBlob({ store, opened, rng: parts.rng });
  const schedule = await blob.read({ signal });
  const now = nanosecondsFromMs(clock.nowMs());
  const mode = request.mode === 'auto' ? dueMode(schedule, params, now) : request.mode;
  const { nextFull, nextQuick } = schedule;
  if (mode === 'none') return { owner: params.owner, mode, nextFull, nextQuick, tasks: [] };
  await using _lock = await lockMaintenance(folder);
  if (dryRun) return await look(parts, request, { params, schedule, blob, mode });
  return await run(parts, request, { params, blob, mode });
}

interface Plan {
  readonly params: MaintenanceParams;
  readonly blob: ScheduleBlob;
  readonly mode: Exclude<Mode, 'none'>;
}

async function look(
  parts: MaintenanceParts,
  request: MaintenanceRequest,
  { params, schedule, blob, mode }: Plan & { readonly schedule: Schedule },
): Promise<MaintenanceResult> {
  const { signal } = request;
  const startMs = await parts.repository.store.serverTimeMs({ signal });
  const context = contextOf(parts, request, startMs);
  const runner = new TaskRunner({ context, blob, ...request });
  await (mode === 'full' ? runFull(runner, context, params) : runQuick(runner, context, params));
  const { nextFull, nextQuick } = schedule;
  return { owner: params.owner, mode, nextFull, nextQuick, tasks: runner.reports };
}

async function run(
  parts: MaintenanceParts,
  request: MaintenanceRequest,
  { params, blob, mode }: Plan,
): Promise<MaintenanceResult> {
  const { repository, clock } = parts;
  const { signal, onWarning } = request;
  const reports: TaskReport[] = [];
  const removeOnly = async (): Promise<void> => {
    const startMs = await repository.store.serverTimeMs({ signal });
    requireClocks(startMs, clock);
    const context = contextOf(parts, request, startMs);
    const runner = new TaskRunner({ context, blob, ...request });
    try {
      await runRemovals(runner, context, params);
    } finally {
      reports.push(...runner.reports);
    }
  };
  const plan = (schedule: Schedule): Schedule => withNextTimes(schedule, params, { mode, nowMs: clock.nowMs() });
  let schedule: Schedule;
  try {
    schedule = await blob.change(plan, { signal });
  } catch (error) {
    if (mode !== 'full' || !hasCode(error, 'blob-no-space')) throw error;
    onWarning('the store is full: removing first what may be removed');
    await removeOnly();
    schedule = await blob.change(plan, { signal });
  }
  const startMs = await blob.storedMs({ signal });
  requireClocks(startMs, clock);
  await repository.index.refresh({ signal });
  const context = contextOf(parts, request, startMs);
  const runner = new TaskRunner({ context, blob, ...request });
  try {
    await (mode === 'full' ? runFull(runner, context, params) : runQuick(runner, context, params));
  } catch (error) {
    if (mode !== 'full' || !hasCode(error, 'blob-no-space') || runner.copiesCount) throw error;
    onWarning('the store is full: what may be removed is removed; run the command again for the rest');
    await removeOnly();
    throw error;
  }
  const { nextFull, nextQuick } = schedule;
  return { owner: params.owner, mode, nextFull, nextQuick, tasks: [...reports, ...runner.reports] };
}

function contextOf(
  { repository, clock, rng, identity, folder }: MaintenanceParts,
  { dryRun, signal }: MaintenanceRequest,
  startMs: number,
): TaskContext {
  return { repository, clock, rng, identity, startMs, dryRun, spoolFolder: join(folder, 'spool'), signal };
}

/** A full run is a quick one as well. */
function withNextTimes(
  schedule: Schedule,
  { full, quick }: MaintenanceParams,
  { mode, nowMs }: { readonly mode: 'full' | 'quick'; readonly nowMs: number },
): Schedule {
  const now = nanosecondsFromMs(nowMs);
  const next = { quick: now + quick.interval };
  return schedule.withNext(mode === 'full' ? { ...next, full: now + full.interval } : next);
}

/** @throws {MaintenanceError} `maintenance-clock` */
function requireClocks(storeMs: number, clock: Clock): void {
  const ownMs = clock.nowMs();
  if (clocksAgree(storeMs, ownMs)) return;
  const [here, there] = [ownMs, storeMs].map((ms) => new Date(ms).toISOString());
  throw new MaintenanceError('maintenance-clock', `it is ${here} here, and ${there} in the store: too far apart`);
}
