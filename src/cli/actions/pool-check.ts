import { checkPool, type CheckResult } from '../../pool/check-pool.ts';
import { findFaults, type Finding } from '../../pool/find-faults.ts';
import type { Action } from '../command.ts';
import type { PoolCheckOptions } from '../pool-check.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { openPool } from './open-pool.ts';
import { heldFields, unfinishedFields } from './unfinished-rows.ts';

/** What the user can do. */
const handText: Partial<Record<Finding['kind'], string>> = {
  leftover:
    'it only takes room; mend the reason (immutable: "chattr -R -i", a mount: "umount"), and the next change of the pool removes it',
  frozen:
    'if it is, whoever writes to it waits; unmount what covers it, or mount the device again, then run "dray pool check" once more',
};

type Asked = Pick<PoolCheckOptions, 'dryRun' | 'removeDamaged'>;

export const poolCheck: Action<PoolCheckOptions> = async (context, { directory, ...options }) => {
  const pool = openPool(context, directory);
  const { signal, log } = context;
  const { dryRun } = options;
  const result = await checkPool(pool, { ...options, signal });
  const { recovered, held, restores, findings, mended } = result;
  // What was found is what is left, unless something was mended.
  const remaining = (mended === 0 ? findings : findFaults(pool)).filter(isLost).length;
  const byHand = findings.filter(({ remedy }) => remedy === 'hand').length;
  const healthy = remaining + byHand === 0;
  const value = { pool: pool.layout.root, dryRun, healthy, mended, remaining, recovered, held, restores, findings };
  await context.output.record(value, {
    names: findings.map(({ path }) => path),
    fields: [
      ['Pool', value.pool],
      ['Cleared', clearedText(result, options)],
      ...heldFields(held),
      ...restores.flatMap((restore) => unfinishedFields(context, restore, { dryRun, removed: restore.removed })),
      ...findings.map((finding): [string, string] => [
        finding.what,
        `${finding.message}: ${whatIsDone(finding, options)}`,
      ]),
      ['Result', resultText({ remaining, byHand })],
    ],
  });
  if (healthy) return exitCodes.done;
  if (remaining === 0) return exitCodes.failed;
  log.info(
    'what is damaged stays until "dray pool check --remove-damaged"; of a lost volume clone a snapshot, or restore it',
  );
  return exitCodes.damaged;
};

function isLost({ remedy }: Finding): boolean {
  return remedy === 'damaged' || remedy === 'stuck' || remedy === 'cleared';
}

function resultText({ remaining, byHand }: { readonly remaining: number; readonly byHand: number }): string {
  if (remaining > 0) return `${remaining} damaged`;
  return byHand > 0
    ? `no data is damaged, but ${byHand} of what was found ${byHand === 1 ? 'is' : 'are'} for you to mend`
    : 'all is well';
}

function clearedText({ recovered }: CheckResult, { dryRun }: Asked): string {
  if (recovered.length === 0) return 'nothing';
  return `${dryRun ? 'would be: ' : ''}${recovered.join(', ')}`;
}

function whatIsDone({ remedy, kind }: Finding, { dryRun, removeDamaged }: Asked): string {
  const would = dryRun ? 'would be ' : '';
  switch (remedy) {
    case 'mend':
      return kind === 'group' ? `${would}settled` : `${would}made again`;
    case 'remove':
      return `${would}removed`;
    case 'damaged':
      return removeDamaged ? `${would}removed` : 'damaged';
    case 'stuck':
      return 'damaged, and stays while it holds what is not of this pool';
    case 'cleared':
      return 'damaged, and what was left of it is removed';
    case 'newer':
      return 'left to a newer dray, which can read it';
    case 'hand':
      return handText[kind] ?? 'left alone';
    case 'none':
      return 'left alone';
  }
}
