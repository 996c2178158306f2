import { checkPool, type CheckResult } from '../../pool/check-pool.ts';
import { findFaults, type Finding } from '../../pool/find-faults.ts';
import type { Action } from '../command.ts';
import type { PoolCheckOptions } from '../pool-check.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { openPool } from './open-pool.ts';
import { unfinishedFields } from './unfinished-rows.ts';

type Asked = Pick<PoolCheckOptions, 'dryRun' | 'removeDamaged'>;

export const poolCheck: Action<PoolCheckOptions> = async (context, { directory, ...options }) => {
  const pool = openPool(context, directory);
  const { signal, log } = context;
  const { dryRun } = options;
  const result = await checkPool(pool, { ...options, signal });
  const { recovered, restores, findings, mended } = result;
  // What was found is what is left, unless something was mended.
  const remaining = (mended === 0 ? findings : findFaults(pool)).filter(isLost).length;
  const healthy = remaining === 0;
  const value = { pool: pool.layout.root, dryRun, healthy, mended, remaining, recovered, restores, findings };
  await context.output.record(value, {
    names: findings.map(({ path }) => path),
    fields: [
      ['Pool', value.pool],
      ['Cleared', clearedText(result, options)],
      ...restores.flatMap((restore) => unfinishedFields(context, restore, { dryRun, removed: restore.removed })),
      ...findings.map((finding): [string, string] => [
        finding.what,
        `${finding.message}: ${whatIsDone(finding, options)}`,
      ]),
      ['Result', healthy ? 'all is well' : `${remaining} damaged`],
    ],
  });
  if (healthy) return exitCodes.done;
  log.info(
    'what is damaged stays until "dray pool check --remove-damaged"; of a lost volume clone a snapshot, or restore it',
  );
  return exitCodes.damaged;
};

function isLost({ remedy }: Finding): boolean {
  return remedy === 'damaged' || remedy === 'stuck' || remedy === 'cleared';
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
    case 'none':
      return 'left alone';
  }
}
