/** The units that the README shows for systemd: it takes them, and what they run, runs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { endDevicesBelow, loopDevices, poolPlace } from './pool-place.ts';

const root = join(import.meta.dirname, '../..');

/** By name, as they stand. */
async function unitsOfReadme(): Promise<ReadonlyMap<string, string>> {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const found = readme.matchAll(/^```ini\n# \/etc\/systemd\/system\/(\S+)\n([^`]*?)^```$/gm);
  return new Map([...found].map(([, name = '', text = '']) => [name, text.replaceAll('/opt/drayage/', `${root}/`)]));
}

function valuesOf(unit: string, key: string): string[] {
  return [...unit.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value);
}

const noSystemd = spawnSync('systemd-analyze', ['--version']).error === undefined ? false : 'needs systemd-analyze';

describe('README > the units for systemd', () => {
  test('are what systemd takes', { skip: noSystemd }, async () => {
    await using folder = await temporaryFolder('units');
    const units = await unitsOfReadme();
    assert.deepEqual([...units.keys()], ['dray-data.service', 'dray-backup.service', 'dray-backup.timer']);
    for (const [name, text] of units) await writeFile(join(folder.path, name), text);
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...units.keys()], {
      cwd: folder.path,
      encoding: 'utf8',
    });
    assert.deepEqual([status, stderr.split('\n').filter((line) => line.includes('dray-'))], [0, []]);
  });

  test(
    'bring a volume back after a reboot, back it up, and take it away',
    { skip: fileSystemsMissing('xfs', 'ext4') },
    async () => {
      await using world = await poolPlace('ext4');
      const { told, place, folder } = world;
      await using stack = new AsyncDisposableStack();
      stack.defer(() => endDevicesBelow(folder));
      stack.defer(() => endDevicesBelow(place.pool));
      const image = join(folder, 'pool.img');
      const mountPoint = join(folder, 'data');
      await mkdir(mountPoint);
      await writeFile(join(folder, 'password'), place.password);
      await told('pool', 'create', '--image', image, '--size', '320M');
      await told('volume', 'create', 'data', '--size', '16M', '--mkfs', 'ext4');
      await told('pool', 'close');
      await told('repository', 'create');
      const replaced = [
        ['/srv/images', place.pool],
        ['/mnt/data', mountPoint],
        ['/backups', place.repository],
        ['/var/cache/dray', place.cache],
        ['${CREDENTIALS_DIRECTORY}', folder],
      ] as const;
      const units = await unitsOfReadme();
      const unit = (name: string): string =>
        replaced.reduce((text, [from, to]) => text.replaceAll(from, to), units.get(name) ?? '');
      /** As systemd runs them: one after the other, with nothing in the environment but what the unit says. */
      const runAll = (name: string, key: string): void => {
        const env = valuesOf(unit(name), 'Environment').flatMap((each) => each.split(' '));
        const commands = valuesOf(unit(name), key);
        assert(commands.length > 1, `${name} has no ${key}`);
        for (const command of commands) {
          const words = command.replace(/^-/, '').replaceAll('$$', '$');
          run('env', '-i', `PATH=${process.env['PATH']}`, ...env, 'sh', '-c', words);
        }
      };
      runAll('dray-data.service', 'ExecStart');
      await writeFile(join(mountPoint, 'kept'), 'mine');
      for (let times = 0; times < 2; times += 1) runAll('dray-backup.service', 'ExecStart');
      assert.equal((await told('snapshot', 'list', '-o', 'name')).trim().split('\n').length, 2);
      runAll('dray-data.service', 'ExecStop');
      assert.deepEqual(
        loopDevices().filter(({ file }) => file.startsWith(folder) || file.startsWith(place.pool)),
        [],
      );
      runAll('dray-data.service', 'ExecStart');
      assert.equal(await readFile(join(mountPoint, 'kept'), 'utf8'), 'mine');
      runAll('dray-data.service', 'ExecStop');
    },
  );
});
