import { findFaults, soundIn, type Finding } from '../../pool/find-faults.ts';
import { poolFigures, type PoolFigures } from '../../pool/inspect-pool.ts';
import { findLeftovers, leftoverFindings } from '../../pool/leftovers.ts';
import { needingRepositories } from '../../pool/needs.ts';
import { readableContents } from '../../pool/readable.ts';
import { isOnReverseMap } from '../../pool/reverse-map.ts';
import { unfinishedRestores } from '../../pool/unfinished-restores.ts';
import { formatSize } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import type { PoolStatusOptions } from '../pool-status.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { openPool } from './open-pool.ts';
import { heldFields, unfinishedFields } from './unfinished-rows.ts';

export const poolStatus: Action<PoolStatusOptions> = async (context, { directory }) => {
  const pool = openPool(context, directory);
  const contents = readableContents(pool);
  const { room, fragmented, ...figures } = await poolFigures(pool, contents, context);
  const { held, stuck } = await findLeftovers(pool, context);
  const findings = [...leftoverFindings(pool, stuck), ...findFaults(pool, { sound: soundIn(contents) })];
  const faults = findings.filter(({ remedy }) => remedy !== 'none');
  const restores = await unfinishedRestores(pool, context);
  const repositories = needingRepositories(contents);
  const reverseMap = await isOnReverseMap(pool);
  const value = {
    pool: pool.layout.root,
    id: pool.id,
    created: pool.record.created,
    reverseMap,
    ...room,
    ...figures,
    fragmented,
    repositories,
    restores,
    held,
    healthy: faults.length === 0,
    findings,
  };
  await context.output.record(value, {
    names: [value.pool],
    fields: [
      ['Pool', value.pool],
      ['Id', value.id],
      ...figureFields({ room, fragmented, ...figures }),
      ...(reverseMap ? [['Slow', 'this XFS keeps a reverse map (rmapbt=1)'] as [string, string]] : []),
      ...repositories.map(({ url, repository, snapshots }): [string, string] => [
        'Backups',
        `to ${url} (${repository.slice(0, 12)}); snapshots kept for them: ${snapshots}`,
      ]),
      ...restores.flatMap((restore) => unfinishedFields(context, restore)),
      ...heldFields(held),
      ...findings
        .filter(({ remedy }) => remedy === 'none')
        .map(({ message }): [string, string] => ['Foreign', message]),
      ['Health', healthText(faults)],
    ],
  });
  return exitCodes.done;
};

function figureFields({ room, fragmented, ...figures }: PoolFigures): [string, string][] {
  const { volumes, attached, snapshots, logicalBytes, uniqueBytes, sharedBytes, snapshotBytes } = figures;
  const scattered = fragmented.map(({ volume, extents }) => `${volume} (${extents} extents)`);
  return [
    ['Volumes', `${volumes} of ${formatSize(logicalBytes)}, ${attached} attached`],
    ['Snapshots', `${snapshots}, at least ${formatSize(snapshotBytes)} come back without them`],
    ['Data', `${formatSize(uniqueBytes)} only in volumes, ${formatSize(sharedBytes)} shared with snapshots or clones`],
    ['Free', `${formatSize(room.availableBytes)} of ${formatSize(room.totalBytes)}`],
    ['Reserve', `${formatSize(room.reserveBytes)} are kept for what volumes write`],
    ...(scattered.length === 0 ? [] : [['Fragmented', scattered.join(', ')] as [string, string]]),
  ];
}

function healthText(findings: readonly Finding[]): string {
  const [first] = findings;
  if (first === undefined) return 'ok';
  const others = findings.length === 1 ? '' : ` and ${findings.length - 1} more`;
  return `${first.message}${others}; "dray pool check" tells more`;
}
