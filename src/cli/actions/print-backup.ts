/** What a backup has done, for people and for programs: the same for every kind of source. */
import type { StoreCounts } from '../../blobs/count.ts';
import { rungNamed } from '../../changes/rungs.ts';
import type { BackupResult } from '../../transfer/backup-request.ts';
import { formatSize } from '../../std/format-size.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { formatDuration } from '../shell/sizes.ts';
import { requestsText } from './open-repository.ts';

export interface BackupFacts {
  /** As the user named it. */
  readonly source: string;
  readonly ms: number;
  readonly requests: StoreCounts;
  /** What a kind of source says beyond the rest, after it. */
  readonly also?: { readonly value: object; readonly fields: readonly (readonly [string, string])[] };
}

export async function printBackup(
  context: CliContext,
  result: BackupResult,
  { source, ms, requests, also = { value: {}, fields: [] } }: BackupFacts,
): Promise<void> {
  const { counts, changes, audit } = result;
  const value = {
    snapshot: result.snapshot,
    source,
    sizeBytes: result.sizeBytes,
    parent: result.parent,
    rung: changes.rung,
    reason: changes.reason,
    passedOver: result.passedOver,
    reportedBytes: result.reportedBytes,
    resumed: result.resumed,
    readBytes: counts.readBytes,
    zeroBytes: counts.zeroBytes,
    changedBytes: result.changedBytes,
    newBytes: counts.newBytes,
    storedBytes: counts.packedBytes,
    audit: audit && { chunks: audit.chunks, missed: audit.missed },
    requests,
    ...also.value,
    durationMs: Math.round(ms),
  };
  const rate = ms > 0 ? ` (${formatSize((counts.readBytes / ms) * 1000)}/s)` : '';
  const fields: (readonly [string, string])[] = [
    ['Snapshot', result.snapshot],
    ['Volume', `${source}, ${formatSize(result.sizeBytes)}`],
    ['Changes', `${changes.rung}: ${changes.reason}`],
    ['Promise', rungNamed(changes.rung).promise],
    ...result.passedOver.map(({ rung, reason }): [string, string] => ['Not used', `${rung}: ${reason}`]),
    ['Read', `${formatSize(counts.readBytes)} in ${formatDuration(ms)}${rate}`],
    ['Stored', `${formatSize(counts.newBytes)} new, ${formatSize(counts.packedBytes)} in the repository`],
  ];
  fields.push(['Requests', requestsText(requests)]);
  if (result.parent !== undefined) fields.splice(2, 0, ['Parent', result.parent]);
  if (result.changedBytes !== undefined)
    fields.push(['Changed', `${formatSize(result.changedBytes)} since the parent`]);
  if (result.reportedBytes !== undefined)
    fields.push(['Reported', `${formatSize(result.reportedBytes)} may have changed, says ${changes.rung}`]);
  if (result.resumed) fields.push(['Resumed', 'went on from an interrupted run']);
  if (audit !== undefined) fields.push(['Audit', `${audit.chunks} chunks, ${audit.missed.length} missed`]);
  fields.push(...also.fields);
  await context.output.record(value, { names: [result.snapshot], fields });
}
