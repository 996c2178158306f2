/** Every command that the README shows of pools is run, in its order, with smaller sizes and other folders. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileSystemsMissing } from '../support/file-system.ts';
import { poolPlace, endDevicesBelow } from './pool-place.ts';

const root = join(import.meta.dirname, '../..');

test(
  'README > what it shows of pools, volumes and snapshots runs as it stands',
  {
    skip: fileSystemsMissing('xfs', 'ext4'),
  },
  async () => {
    await using world = await poolPlace();
    const { place, folder } = world;
    const readme = await readFile(join(root, 'README.md'), 'utf8');
    const lines = ['Pools', 'Volumes and their snapshots'].flatMap((title) => commandsOf(readme, title));
    assert(lines.length > 15, 'the README shows no commands');
    const script = lines
      .join('\n')
      .replaceAll('/srv/pool', place.pool)
      .replaceAll(/\/(?:srv|mnt)\//g, `${folder}/`)
      .replaceAll('50G', '320M')
      .replaceAll('7f3a', '$(dray snapshot list -o name | head -n 1)')
      .replaceAll(/\b[12]0G/g, (size) => size.replace('0G', '6M'));
    for (const name of ['data', 'old']) await mkdir(join(folder, name));
    await using images = new AsyncDisposableStack();
    images.defer(() => endDevicesBelow(folder));
    const env = {
      ...process.env,
      PATH: `${join(root, 'bin')}:${process.env['PATH']}`,
      DRAY_REPOSITORY: join(folder, 'repository'),
      DRAY_PASSWORD: 'of the readme',
    };
    const words = ['-eux', '-c', `dray repository create\n${script}`];
    const { status, stdout, stderr } = spawnSync('bash', words, { env, encoding: 'utf8' });
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /data@monday +frozen/);
  },
);

/** The lines of all blocks under a heading. */
function commandsOf(readme: string, title: string): string[] {
  const [section = ''] = readme.slice(readme.indexOf(`\n## ${title}\n`) + 1).split('\n## ', 1);
  return [...section.matchAll(/^```\n([^`]*?)^```$/gm)].flatMap(([, lines = '']) => lines.trimEnd().split('\n'));
}
