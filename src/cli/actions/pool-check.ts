import { checkPool, findFaults, type Finding } from '../../pool/check-pool.ts';
import type { Action } from '../command.ts';
import type { PoolCheckOptions } from '../pool-check.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { openPool } from './open-pool.ts';

export const poolCheck: Action<PoolCheckOptions> = async (context, { directory, dryRun, removeDamaged }) => {
  const pool = openPool(context, directory);
  const { signal, log } = context;
  const { leftovers, findings, mended } = await checkPool(pool, { dryRun, removeDamaged, signal });
  const remaining = (dryRun ? findings : findFaults(pool)).filter(({ remedy }) => remedy === 'damaged').length;
  const value = { pool: pool.layout.root, dryRun, healthy: remaining === 0, mended, remaining, ...leftovers, findings };
  const done = (finding: Finding): string => whatIsDone(finding, { dryRun, removeDamaged });
  await context.output.record(value, {
    names: findings.map(({ path }) => path),
    fields: [
      ['Pool', value.pool],
      [
        'Cleared',
        leftovers.recovered.length === 0 ? 'nothing' : `${dryRun ? 'would be: ' : ''}${leftovers.recovered.join(', ')}`,
      ],
      ...leftovers.restores.map((name): [string, string] => ['Unfinished', `${name}, which stays`]),
      ...findings.map((finding): [string, string] => [finding.what, `${finding.message}: ${done(finding)}`]),
      ['Result', remaining === 0 ? 'all is well' : `${remaining} damaged`],
    ],
  });
  if (remaining === 0) return exitCodes.done;
  log.info(
    'what is damaged stays until "dray pool check --remove-damaged"; of a lost volume clone a snapshot, or restore it',
  );
  return exitCodes.damaged;
};

function whatIsDone(
  { remedy }: Finding,
  { dryRun, removeDamaged }: { readonly dryRun: boolean; readonly removeDamaged: boolean },
): string {
  const would = dryRun ? 'would be ' : '';
  switch (remedy) {
    case 'mend':
      return `${would}made again`;
    case 'remove':
      return `${would}removed`;
    case 'damaged':
      return removeDamaged ? `${would}removed` : 'damaged';
  }
}
