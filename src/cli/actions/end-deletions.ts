import type { Deletion } from '../../pool/delete-each.ts';
import { snapshotName } from '../../pool/pool-names.ts';
import { toError } from '../../std/to-error.ts';
import type { CliContext } from '../shell/cli-context.ts';

/**
 * After what was deleted is printed: what was gone already is told, and the first failure ends the command, after the others.
 * @param refused also those that stay because something needs or uses them count as failures
 */
export function endDeletions(
  { log }: CliContext,
  deletions: readonly Deletion[],
  { refused = false }: { readonly refused?: boolean } = {},
): void {
  for (const { snapshot } of deletions.filter(({ outcome }) => outcome === 'absent')) {
    log.info(`another process has removed ${snapshotName(snapshot)} meanwhile`);
  }
  const failed = deletions.filter(({ outcome, error }) => {
    return outcome === 'refused' ? refused : outcome !== 'absent' && error !== undefined;
  });
  const [first] = failed;
  if (first === undefined) return;
  for (const { snapshot, outcome, error } of failed) {
    if (error === first.error) continue;
    const { message } = toError(error);
    log.warn(outcome === 'deleted' ? message : `${snapshotName(snapshot)} was not deleted: ${message}`);
  }
  throw first.error;
}
