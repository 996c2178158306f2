/**
 * `npm run test:pool-crash [-- POINTS SEED]`: so many kills and so many losses of power (200 each unless told) on XFS, and as
 * many on btrfs, each at a random point of a pool's operations, and writes `test/pool/power-loss/results.md`. Ends with 1 when one failed.
 */
import { writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { killPoint, powerPoint, type Point } from './points.ts';
import { makePoolWorld } from './world.ts';

const points = Number(process.argv[2] ?? 200);
/** Apart from those of `power-loss.test.ts`. */
const firstSeed = Number(process.argv[3] ?? 1000);

const kills: Point[] = [];
const losses: Point[] = [];
const failures: string[] = [];
for (const kind of ['xfs', 'btrfs'] as const) {
  let world = await makePoolWorld(kind);
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    if (await isWell(`${what}, ${kind}`, work)) return;
    // What is in this pool now is not what is expected: the others begin anew.
    await world[Symbol.asyncDispose]();
    world = await makePoolWorld(kind);
  };
  for (let seed = firstSeed; seed < firstSeed + points; seed += 1) {
    await attempt(`kill, seed ${seed}`, async () => kills.push(await killPoint(world, seed)));
    await attempt(`loss of power, seed ${seed}`, async () => losses.push(await powerPoint(world, seed)));
  }
  await world[Symbol.asyncDispose]();
}
if (process.argv[4] !== 'unrecorded') await writeFile(join(import.meta.dirname, 'results.md'), report());
process.stdout.write(`${failures.length} failures\n`);
process.exitCode = failures.length === 0 ? 0 : 1;

async function isWell(what: string, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    process.stdout.write(`ok ${what}\n`);
    return true;
  } catch (error) {
    failures.push(`${what}: ${messageOf(error)}`);
    process.stdout.write(`FAILED ${failures.at(-1)}\n`);
    return false;
  }
}

function messageOf(error: unknown): string {
  if (error instanceof SuppressedError) return `${messageOf(error.suppressed)}; then ${messageOf(error.error)}`;
  return error instanceof Error ? error.message : String(error);
}

function report(): string {
  const kinds = [...new Set([...kills, ...losses].map(({ cut, last }) => kindOf(cut ?? last)))].sort();
  const rows = kinds.map((kind) => {
    const cells = [kills, losses].flatMap((list) => {
      const own = list.filter(({ cut, last }) => kindOf(cut ?? last) === kind);
      const cut = own.filter((point) => point.cut !== undefined).length;
      return [cut, own.length - cut];
    });
    return `| ${kind} | ${cells.join(' | ')} |`;
  });
  const of = (what: string): number => failures.filter((text) => text.startsWith(what)).length;
  return `# Pools after kills and losses of power

Written by \`npm run test:pool-crash${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(' ')}` : ''}\` on Linux ${release()}, ${cpus().length} cores: ${points} kills and ${points} losses of
power on XFS, and as many on btrfs, seeds from ${firstSeed}. ${of('kill')} kills and ${of('loss')} losses of power failed.

| Operation | Killed in it | Killed after it | Power lost in it | Power lost after it |
|---|---|---|---|---|
${rows.join('\n')}

After each: \`dray pool check\` finds nothing damaged, and a second time nothing at all; every snapshot, clone and volume that was
acknowledged is there, byte for byte, and everything whose removal was acknowledged is gone; what was cut off has happened as
a whole or not at all, groups of snapshots included; needs are those acknowledged; snapshots of a mounted file system mount
without replay of a journal and hold what was synced. After a kill nothing stays frozen and no device is left that is not of a volume.
After a loss of power the mounted volume replays its journal and holds what was synced, and the pool takes and
removes a snapshot. Power is lost by reflinking the disk's image under the running pool: what the pool's file system had not
given to its device is lost, what it had given is not.
${failures.length === 0 ? '' : `\n## Failures\n${failures.map((text) => `- ${text.split('\n')[0]}`).join('\n')}\n`}`;
}

function kindOf(what: string): string {
  const [kind = '', ...names] = what.split(' ');
  if (kind === 'no' || kind === 'need') return 'need';
  if (kind === 'delete') return names[0]?.includes('@') === true ? 'delete snapshot' : 'delete volume';
  if (kind === 'create') return names.includes('ext4') ? 'create with ext4' : 'create';
  if (kind !== 'snapshot') return kind;
  if (names.length > 1) return 'group of snapshots';
  const [volume] = names[0]?.split('@') ?? [];
  return volume === 'mounted' || volume === 'raw' ? `snapshot, ${volume}` : 'snapshot';
}
