import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync, writeSync } from 'node:fs';
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';

import { closeDescriptor } from '../kernel/folder-calls.ts';
import { KernelError } from '../kernel/sys.ts';
import { entryNameFault } from './entry-name.ts';
import { fileTime, isSameTime } from './file-attributes.ts';
import {
  createFile,
  createFolder,
  createLink,
  enterFolder,
  finishFile,
  lookAt,
  openOnly,
  removeBeginningWith,
} from './folder-entry.ts';

const attributes = { mode: 0o4711, owner: undefined, modified: fileTime(-1n) };

function isErrno(errno: string): (error: unknown) => boolean {
  return (error) => error instanceof KernelError && error.errno === errno;
}

describe('an entry of a folder', () => {
  let path = '';
  let outside = '';
  let folder = -1;
  beforeEach(async () => {
    const place = await mkdtemp(join(tmpdir(), 'dray-entry-'));
    [path, outside] = [join(place, 'in'), join(place, 'out')];
    await mkdir(path);
    await mkdir(outside);
    await writeFile(join(outside, 'file'), 'outside');
    folder = openSync(path, 'r');
  });
  afterEach(async () => {
    closeSync(folder);
    await rm(join(path, '..'), { recursive: true, force: true });
  });

  function put(name: string, text: string, instead?: string): void {
    const place = { folder, name };
    const file = createFile(place, instead);
    writeSync(file.fd, text);
    finishFile(place, file, attributes);
  }

  test('gets its mode with setuid, and its time to the nanosecond', async () => {
    put('file', 'text');
    const { mode, mtimeNs } = await lstat(join(path, 'file'), { bigint: true });
    assert.equal(mode & 0o7777n, 0o4711n);
    assert.equal(mtimeNs, -1n);
    createLink({ folder, name: 'link' }, Buffer.from([0xff, 0x2f, 0x41]), attributes, undefined);
    assert.deepEqual(await readlink(join(path, 'link'), 'buffer'), Buffer.from([0xff, 0x2f, 0x41]));
    assert.equal(lookAt({ folder, name: 'link' })?.mtimeNs, -1n);
    assert.ok(isSameTime(attributes.modified, -1n));
  });

  test('is never made through a link that has its name, nor in a file of two names', async () => {
    await symlink(join(outside, 'file'), join(path, 'soft'));
    await symlink(join(outside, 'new'), join(path, 'dangling'));
    await link(join(outside, 'file'), join(path, 'hard'));
    for (const name of ['soft', 'dangling', 'hard']) {
      assert.throws(() => put(name, 'x'), isErrno('EEXIST'));
      assert.equal(openOnly({ folder, name }, { write: true }), undefined);
      put(name, 'inside', '.temporary');
      assert.equal(await readFile(join(path, name), 'utf8'), 'inside');
    }
    assert.equal(await readFile(join(outside, 'file'), 'utf8'), 'outside');
    assert.deepEqual(await readdir(outside), ['file']);
    assert.deepEqual((await readdir(path)).toSorted(), ['dangling', 'hard', 'soft']);
  });

  test('in place of a folder is refused', async () => {
    await mkdir(join(path, 'taken'));
    assert.throws(() => put('taken', 'x', '.temporary'), isErrno('EISDIR'));
    assert.throws(() => createLink({ folder, name: 'taken' }, Buffer.from('x'), attributes, '.t2'), isErrno('EISDIR'));
  });

  test('that is a folder is entered, but no link to one: that is replaced by a folder', async () => {
    await symlink(outside, join(path, 'sub'));
    assert.throws(() => createFolder(folder, 'sub'), isErrno('EEXIST'));
    const { fd, created } = enterFolder(folder, 'sub');
    assert.equal(created, true);
    closeDescriptor(fd);
    assert.ok((await lstat(join(path, 'sub'))).isDirectory());
    assert.deepEqual(await readdir(outside), ['file']);
    const again = enterFolder(folder, 'sub');
    assert.equal(again.created, false);
    closeDescriptor(again.fd);
  });

  test('lands where its folder is, whatever has the name of that folder meanwhile', async () => {
    const fd = createFolder(folder, 'sub');
    await rename(join(path, 'sub'), join(path, 'moved'));
    await symlink(outside, join(path, 'sub'));
    const file = createFile({ folder: fd, name: 'file' }, undefined);
    finishFile({ folder: fd, name: 'file' }, file, attributes);
    closeDescriptor(fd);
    assert.deepEqual(await readdir(join(path, 'moved')), ['file']);
    assert.equal(await readFile(join(outside, 'file'), 'utf8'), 'outside');
  });

  test('a folder that has no permissions any more is opened all the same', async () => {
    await mkdir(join(path, 'shut'));
    await chmod(join(path, 'shut'), 0);
    const { fd } = enterFolder(folder, 'shut');
    assert.ok(fstatSync(fd).isDirectory());
    closeDescriptor(fd);
  });

  test('what an earlier run has not finished is removed, and nothing else', async () => {
    for (const name of ['.t-1', '.t-2', '.u-1', 'file']) await writeFile(join(path, name), '');
    removeBeginningWith(folder, '.t-', { except: new Set(['.t-2']) });
    assert.deepEqual((await readdir(path)).toSorted(), ['.t-2', '.u-1', 'file']);
  });
});

test('a name that is no name in a folder is found out', () => {
  for (const name of ['', '.', '..', '/', 'a/b', '../x', '/etc', 'a\0b', 'x'.repeat(256), 'ä'.repeat(128)]) {
    assert.notEqual(entryNameFault(name), undefined, JSON.stringify(name));
  }
  for (const name of ['a', '...', '.a', ' ', '\n', '\\', '\uFFFD', '-rf', 'x'.repeat(255)]) {
    assert.equal(entryNameFault(name), undefined, JSON.stringify(name));
  }
});

test('times that no file system holds become the nearest', () => {
  assert.deepEqual(fileTime(-1n), { seconds: -1, nanoseconds: 999_999_999 });
  assert.deepEqual(fileTime(-(10n ** 19n)), { seconds: -2_147_483_648, nanoseconds: 0 });
  assert.deepEqual(fileTime(10n ** 20n), { seconds: 15_032_385_535, nanoseconds: 999_999_999 });
});
