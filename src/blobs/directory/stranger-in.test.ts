import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { strangerIn } from './stranger-in.ts';

test('strangers in a folder > are what is no blob, nobody hides, and no disk has', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-strangers-'));
  const { path } = folder;
  assert.equal(await strangerIn(join(path, 'none')), undefined);
  assert.equal(await strangerIn(path), undefined);
  await mkdir(join(path, 'lost+found'));
  await writeFile(join(path, '.hidden'), '');
  await writeFile(join(path, 'kopia.blobcfg.f.tmp.0123456789abcdef'), '');
  assert.equal(await strangerIn(path), undefined);
  await writeFile(join(path, 'letter.txt'), '');
  assert.equal(await strangerIn(path), 'letter.txt');
  await writeFile(join(path, 'kopia.repository.f'), '');
  assert.equal(await strangerIn(path), undefined);
});
