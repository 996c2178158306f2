/** A tree of files of every kind, backed up by a real kopia: restored by us it is the source again, and what kopia restores. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  chmod,
  link,
  lchown,
  lutimes,
  mkdir,
  open,
  readFile,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { applyAttributes, fileTime } from '../../src/volume/file-attributes.ts';
import { seededRng } from '../../src/std/rng.ts';
import { openSite, password } from '../interop/site.ts';
import { DrayFailed } from '../interop/dray-client.ts';
import { readDisk } from './read-disk.ts';

const isRoot = process.geteuid?.() === 0;
const mib = 1024 * 1024;

test('a tree that kopia backed up is restored as it was, and as kopia restores it', async (context) => {
  await using site = await openSite(context);
  if (site === undefined) return;
  const source = join(site.folder, 'source');
  await makeTree(source);
  await site.kopia.create(password, ['--object-splitter=DYNAMIC-1M-BUZHASH']);
  const created = await site.kopia.run(['snapshot', 'create', source, '--json']);
  const { id } = JSON.parse(created.stdout) as { readonly id: string };

  const target = join(site.folder, 'target');
  const printed = JSON.parse(await site.dray.run(['restore', id, target, '-o', 'json'])) as { readonly files: number };
  const [wanted, found] = [await readDisk(source), await readDisk(target)];
  assert.deepEqual(found, wanted);
  assert.equal(printed.files, [...wanted.values()].filter(({ type }) => type === 'f').length);
  // Holes are holes again, also where no chunk is all zeros.
  assert.ok((await stat(join(target, 'sparse'))).blocks * 512 < 10 * mib);

  await site.kopia.restore(id, join(site.folder, 'theirs'));
  const theirs = await readDisk(join(site.folder, 'theirs'));
  assert.deepEqual([...found.keys()].toSorted(), [...theirs.keys()].toSorted());
  for (const [path, entry] of theirs) {
    // Kopia gives folders the time of the newest thing in them, and rounds those of links.
    const { mtimeNs, ...rest } = found.get(path)!;
    const { mtimeNs: theirTime, ...their } = entry;
    assert.deepEqual(rest, their);
    if (entry.type === 'f') assert.equal(mtimeNs, theirTime, path);
  }

  await context.test('again over itself changes nothing, and fetches no file', async () => {
    const again = JSON.parse(await site.dray.run(['restore', id, target, '--overwrite', '-o', 'json'])) as Again;
    assert.deepEqual(await readDisk(target), wanted);
    assert.ok(again.kept > 400, JSON.stringify(again));
  });
  await context.test('a folder inside, and a file, are restored by their paths', async () => {
    await site.dray.run(['restore', `${id}/many`, join(site.folder, 'inside')]);
    assert.equal((await readDisk(join(site.folder, 'inside'))).size, 405);
    const one = join(site.folder, 'one');
    await mkdir(one);
    await site.dray.run(['restore', `${id}/modes/setuid`, join(one, 'file')]);
    assert.deepEqual({ ...(await readDisk(one)).get('file'), path: 'modes/setuid' }, wanted.get('modes/setuid'));
  });
  await context.test('patterns choose, and only the folders are made that something is in', async () => {
    const chosen = join(site.folder, 'chosen');
    const patterns = ['--include', 'f1*', '--include', '/deep/', '--exclude', 'f10*'];
    await site.dray.run(['restore', id, chosen, ...patterns]);
    const paths = [...(await readDisk(chosen)).keys()];
    assert.ok(paths.includes('many/f1') && paths.includes('many/f110') && paths.includes('deep/er/est/file'));
    assert.ok(!paths.some((path) => path.startsWith('modes') || path.includes('f10') || path.includes('f2')));
  });
  await context.test('cat prints the bytes, ls the names', async () => {
    const { stdout } = await promisify(execFile)(
      join(import.meta.dirname, '../../bin/dray'),
      ['snapshot', 'cat', `${id}/large`],
      {
        env: {
          ...process.env,
          DRAY_REPOSITORY: site.repository,
          DRAY_PASSWORD: password,
          DRAY_CACHE_DIR: join(site.folder, 'cache'),
        },
        encoding: 'buffer',
        maxBuffer: 256 * mib,
      },
    );
    assert.ok(stdout.equals(await readFile(join(source, 'large'))));
    const listed = (await site.dray.json(['snapshot', 'ls', id, '--recursive'])) as readonly {
      readonly path: string;
    }[];
    assert.deepEqual(
      listed.map(({ path }) => path).toSorted(),
      [...wanted.keys()].filter((path) => path !== '.').toSorted(),
    );
    await assert.rejects(site.dray.run(['snapshot', 'ls', `${id}/nothing`]), isExit(3));
    await assert.rejects(site.dray.run(['snapshot', 'cat', `${id}/many`]), isExit(2));
    await assert.rejects(site.dray.run(['restore', id, target]), isExit(1));
  });
  await context.test('verify finds it whole', async () => await site.dray.verify());
});

interface Again {
  readonly kept: number;
}

function isExit(status: number): (error: unknown) => boolean {
  return (error) => error instanceof DrayFailed && error.exitCode === status;
}

async function makeTree(root: string): Promise<void> {
  for (const path of ['empty', 'deep/er/est', 'modes/folder', 'many', 'links'])
    await mkdir(join(root, path), { recursive: true });
  const rng = seededRng(4);
  await writeFile(join(root, 'zero'), '');
  await writeFile(join(root, 'large'), rng.bytes(100 * mib + 12_345));
  await writeFile(join(root, 'middle'), Buffer.concat([rng.bytes(mib), Buffer.alloc(3 * mib), rng.bytes(mib + 7)]));
  await writeFile(join(root, 'sparse'), '');
  await truncate(join(root, 'sparse'), 300 * mib + 99);
  {
    await using sparse = await open(join(root, 'sparse'), 'r+');
    await sparse.write(rng.bytes(70_000), 0, 70_000, 150 * mib + 3);
  }
  await writeFile(join(root, 'zeros'), Buffer.alloc(200_000));
  await writeFile(join(root, 'deep/er/est/file'), 'deep');
  await writeFile(join(root, 'n'.repeat(255)), 'long name');
  await writeFile(join(root, ' tab\tnew\nline "quotes" <&> ä日本🚀'), 'odd name');
  for (let file = 0; file < 400; file++) await writeFile(join(root, 'many', `f${file}`), `${file}`.repeat(file % 7));
  for (const [name, mode] of [
    ['setuid', 0o4755],
    ['setgid', 0o2711],
    ['none', 0],
    ['all', 0o777],
  ] as const) {
    await writeFile(join(root, 'modes', name), name);
    if (isRoot) await lchown(join(root, 'modes', name), 1234, 4321);
    await chmod(join(root, 'modes', name), isRoot ? mode : mode | 0o400);
  }
  await chmod(join(root, 'modes/folder'), 0o1777);
  await chmod(join(root, 'empty'), 0o555);
  await link(join(root, 'zeros'), join(root, 'links', 'hard'));
  await symlink('../large', join(root, 'links', 'soft'));
  await symlink('/nowhere/at/all', join(root, 'links', 'dangling'));
  await symlink('x'.repeat(4000), join(root, 'links', 'long'));
  await lutimes(join(root, 'links', 'dangling'), 1_000_000_000, 1_000_000_000);
  for (const [name, time] of [
    ['old', -1n],
    ['exact', 1_234_567_890_123_456_789n],
    ['epoch', 0n],
    ['far', 4_102_444_800_000_000_001n],
  ] as const) {
    await using file = await open(join(root, 'many', name), 'w');
    applyAttributes(file.fd, { mode: 0o640, owner: undefined, modified: fileTime(time) });
  }
}
