/**
 * Which tasks a run consists of, and in which order (Kopia `runFullMaintenance`, `runQuickMaintenance`). Whether a task may
 * run is decided by the history as it stands just then, with what the tasks before have put into it.
 */
import type { MaintenanceParams } from '../repository/manifest/maintenance-params.ts';
import { formatGoTime, nanosecondsFromMs } from '../std/go-time.ts';
import { advanceEpoch } from './advance-epoch.ts';
import { cleanupLogs } from './cleanup-logs.ts';
import { cleanupMarkers } from './cleanup-markers.ts';
import { compactEpoch } from './compact-epoch.ts';
import { cleanLegacy, compactLegacy, dropFromLegacy, lastSecondBefore } from './compact-legacy.ts';
import { deleteBlobs, type DeleteBlobs } from './delete-blobs.ts';
import { dropDeleted, wholeSeconds } from './drop-deleted.ts';
import { extendLocks } from './extend-locks.ts';
import { readEpochView, type EpochView } from './epoch-view.ts';
import { mergeRange } from './range-index.ts';
import { rewriteContents } from './rewrite-contents.ts';
import { mayRewrite, mayRewriteQuick, removalFrom, removesAllKinds, safeDropTime } from './safety.ts';
import { snapshotGc } from './snapshot-gc.ts';
import { deleteSuperseded } from './superseded-indexes.ts';
import type { TaskContext } from './task.ts';
import type { TaskRunner } from './task-runner.ts';

export async function runQuick(runner: TaskRunner, context: TaskContext, params: MaintenanceParams): Promise<void> {
  if (!hasEpochs(context)) return await runLegacyQuick(runner, context, params);
  const view = await epochView(context);
  await runner.run('compact-single-epoch', async () => await compactEpoch(context, view));
  await runner.run('advance-epoch', async () => await advanceEpoch(context, view));
}

export async function runFull(runner: TaskRunner, context: TaskContext, params: MaintenanceParams): Promise<void> {
  await runner.run('snapshot-gc', async () => await snapshotGc(context));
  await rewrite(runner, context, { task: 'full-rewrite-contents', isTime: mayRewrite(await runner.schedule()) });
  const dropSeconds = await dropWhatIsSafe(runner, context);
  await removePacks(runner, context, { dropSeconds: context.dryRun ? dropSeconds : undefined });
  await extendWhatIsLocked(runner, context, params);
  if (hasEpochs(context)) await runEpochs(runner, context);
  await runner.run('cleanup-logs', async () => await cleanupLogs(context, params.logRetention));
}

async function runEpochs(runner: TaskRunner, context: TaskContext): Promise<void> {
  const view = await epochView(context);
  await runner.run('compact-single-epoch', async () => await compactEpoch(context, view));
  await runner.run('advance-epoch', async () => await advanceEpoch(context, view));
  await runner.run('generate-epoch-range-index', async () => await mergeRange(context, view));
  await removeIndexes(runner, context, view);
}

/** What keeps an index without epochs, and the packs of its manifests, in order between full runs. */
async function runLegacyQuick(runner: TaskRunner, context: TaskContext, params: MaintenanceParams): Promise<void> {
  const isTime = mayRewriteQuick(await runner.schedule());
  await rewrite(runner, context, { task: 'quick-rewrite-contents', kind: 'q', isTime });
  const kind = removesAllKinds(await runner.schedule()) ? undefined : 'q';
  await removePacks(runner, context, { kind });
  await runner.run('index-compaction', async () => await compactLegacy(context));
  await runner.run('cleanup-logs', async () => await cleanupLogs(context, params.logRetention));
}

async function rewrite(
  runner: TaskRunner,
  context: TaskContext,
  {
    task,
    kind,
    isTime,
  }: {
    readonly task: 'full-rewrite-contents' | 'quick-rewrite-contents';
    readonly kind?: 'q';
    readonly isTime: boolean;
  },
): Promise<void> {
  if (!isTime) return runner.skip(task, 'packs that the last time has emptied are not removed yet');
  const onFlush = (): void => void (runner.copiesCount = true);
  await runner.run(task, async () => await rewriteContents(context, { kind, onFlush }));
  // From here on the history says it.
  runner.copiesCount = false;
}

async function extendWhatIsLocked(runner: TaskRunner, context: TaskContext, params: MaintenanceParams): Promise<void> {
  const task = 'extend-blob-retention-time';
  const { retention } = context.repository.opened;
  if (retention === undefined) return;
  if (params.extendObjectLocks) await runner.run(task, async () => await extendLocks(context, retention));
  else
    runner.skip(
      task,
      'locks pass one by one, until "kopia maintenance set --extend-object-locks true" has them extended',
    );
}

/** Only what makes room, and needs none. */
export async function runRemovals(runner: TaskRunner, context: TaskContext, params: MaintenanceParams): Promise<void> {
  await removePacks(runner, context);
  if (hasEpochs(context)) await removeIndexes(runner, context, await epochView(context));
  else await runner.run('index-compaction', async () => await cleanLegacy(context));
  await runner.run('cleanup-logs', async () => await cleanupLogs(context, params.logRetention));
}

/** @returns up to when deleted entries were dropped, or would have been; undefined when none were */
async function dropWhatIsSafe(runner: TaskRunner, context: TaskContext): Promise<number | undefined> {
  const task = 'full-drop-deleted-content';
  const upTo = safeDropTime((await runner.schedule()).runs('snapshot-gc'));
  if (upTo === undefined) {
    runner.skip(task, 'contents are dropped after two runs of snapshot-gc that are more than four hours apart');
    return undefined;
  }
  if (!hasEpochs(context)) {
    await runner.run(task, async () => await dropFromLegacy(context, upTo));
    return lastSecondBefore(upTo);
  }
  await runner.run(task, async () => await dropDeleted(context, upTo));
  return wholeSeconds(upTo);
}

async function removePacks(runner: TaskRunner, context: TaskContext, options: DeleteBlobs = {}): Promise<void> {
  const task = options.kind === undefined ? 'full-delete-blobs' : 'quick-delete-blobs';
  const from = removalFrom(await runner.schedule());
  if (nanosecondsFromMs(context.clock.nowMs()) < from) {
    const why = `contents were written again: their old packs stay until ${formatGoTime(from)}`;
    return await runner.look(task, why, async () => await deleteBlobs(context, options));
  }
  await runner.run(task, async () => await deleteBlobs(context, options));
}

async function removeIndexes(runner: TaskRunner, context: TaskContext, view: EpochView): Promise<void> {
  await runner.run('cleanup-epoch-markers', async () => await cleanupMarkers(context, view));
  await runner.run('delete-superseded-epoch-indexes', async () => await deleteSuperseded(context, view));
}

function hasEpochs({ repository }: TaskContext): boolean {
  return repository.opened.format.epochs.enabled;
}

async function epochView({ repository, clock, signal }: TaskContext): Promise<EpochView> {
  return await readEpochView(repository.store, { epochs: repository.opened.format.epochs, clock, signal });
}
