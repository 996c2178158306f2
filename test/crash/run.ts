/**
 * `npm run test:crash [POINTS] [SCALE]`: kills so many backups and restores (200 each unless told) at seeded random points
 * of a volume of 1.5 GiB, or that times SCALE, checks each time all that must hold, and writes `test/crash/results.md`. Ends with 1 when one failed.
 */
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { attachLoop, loopDevicesMissing } from '../kernel/loop-device.ts';
import { findKopia } from '../peers/peers.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { intervalBytes, makeCrashWorld } from './crash-volume.ts';
import { killBackup, type BackupKill } from './kill-backup.ts';
import { killRestore, type RestoreKill } from './kill-restore.ts';

const points = Number(process.argv[2] ?? 200);
const scale = Number(process.argv[3] ?? 1);
/** Apart from those of `crash.test.ts`. */
const firstSeed = 1000;
const mib = 1024 * 1024;

await using folder = await temporaryFolder('crash-run');
const world = await makeCrashWorld(folder.path, { scale });
await using loop = loopDevicesMissing() === false ? await attachLoop(2048 * mib) : undefined;
const kopia = await findKopia();
const backups: BackupKill[] = [];
const restores: RestoreKill[] = [];
const failures: string[] = [];
for (let seed = firstSeed; seed < firstSeed + points; seed++) {
  await attempt(`backup, seed ${seed}`, async () => backups.push(await killBackup(world, { seed, kopia })));
  await attempt(`restore, seed ${seed}`, async () =>
    restores.push(await killRestore(world, { seed, device: loop?.device })),
  );
  await writeFile(join(import.meta.dirname, 'results.md'), report());
}
process.exitCode = failures.length === 0 ? 0 : 1;

async function attempt(what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    process.stdout.write(`ok ${what}\n`);
  } catch (error) {
    failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    process.stdout.write(`FAILED ${failures.at(-1)}\n`);
  }
}

function report(): string {
  const size = (bytes: number): string => `${Math.round(bytes / mib)} MiB`;
  const most = (values: readonly number[]): string => size(Math.max(0, ...values));
  const killed = backups.filter((kill) => kill.killed);
  const cut = restores.filter((kill) => kill.killed);
  const ways = ['new', 'overwrite', 'delta', 'device'] as const;
  const byWay = ways.map((way) => `${cut.filter((kill) => kill.way === way).length} ${way}`).join(', ');
  const files = cut.filter(({ way }) => way === 'new' || way === 'overwrite');
  return `# Kills at random points

Written by \`npm run test:crash${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(' ')}` : ''}\`: ${backups.length + restores.length + failures.length} runs of a volume of ${size(1536 * mib * scale)}
(${size(world.runBytes)} of it data), seeds from ${firstSeed}, on ${cpus().length} cores. A checkpoint interval is ${size(intervalBytes)}.

| | Backup | Restore |
|---|---|---|
| Runs that held | ${backups.length} | ${restores.length} |
| Killed before their work was done | ${killed.length} | ${cut.length} (${byWay}) |
| Of these, gone on from a checkpoint | ${killed.filter(({ resumed }) => resumed).length} | ${cut.filter(({ resumed }) => resumed).length} |
| Most done again after a kill | ${most(killed.map(({ againBytes }) => againBytes))} | ${most(files.map(({ againBytes }) => againBytes))} |
| Failures | ${failures.filter((text) => text.startsWith('backup')).length} | ${failures.filter((text) => text.startsWith('restore')).length} |

After each kill of a backup: \`dray repository verify --level data\` is content${kopia === undefined ? '' : ', and so is `kopia snapshot verify --verify-files-percent=100`'};
no half snapshot is listed; the next run, every other time with another cache as from another machine, ends, reads again at most one
interval (as the kernel counts, less 32 MiB for the program itself and for what it reads twice where the page cache has a part), and its restore is equal byte for byte. After each kill of a restore: a new target has
no name unless it is equal, one to be overwritten is unchanged until it is replaced, and the same command again makes it equal.
${failures.length === 0 ? '' : `\n## Failures\n${failures.map((text) => `- ${text.split('\n')[0]}`).join('\n')}\n`}`;
}
