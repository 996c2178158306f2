import type { UnfinishedRestore } from '../../pool/unfinished-restores.ts';
import { formatSize } from '../../std/format-size.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { formatDuration } from '../shell/sizes.ts';

/** A restore that has not ended, and what can be done about it. */
export function unfinishedFields(
  { clock }: CliContext,
  { volume, snapshot, uniqueBytes, written, running }: UnfinishedRestore,
  { dryRun = false, removed = false }: { readonly dryRun?: boolean; readonly removed?: boolean } = {},
): [string, string][] {
  const what = `restore of ${snapshot} to volume ${volume}, ${formatSize(uniqueBytes)}`;
  if (running) return [['Running', what]];
  const age = formatDuration(Math.max(0, clock.nowMs() - Date.parse(written)));
  const next = removed
    ? `${dryRun ? 'would be ' : ''}removed`
    : 'run it again to go on, or remove it with "dray pool check --remove-unfinished"';
  return [['Unfinished', `${what}, last written ${age} ago: ${next}`]];
}

/** Leftovers that go once another process has ended with them. */
export function heldFields(held: readonly string[]): [string, string][] {
  return held.length === 0 ? [] : [['Held', `${held.join(', ')}: another process works there, or is removing it`]];
}
