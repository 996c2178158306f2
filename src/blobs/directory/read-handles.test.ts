import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isErrno } from '../../std/atomic-write.ts';
import { ReadHandles } from './read-handles.ts';

test('open files > one that cannot be opened fails its reader alone, also while others are closed for it', async (t) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-handles-'));
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  await using handles = new ReadHandles({ filesMax: 1 });
  for (let nth = 0; nth < 20; nth += 1) {
    const there = join(folder.path, `${nth}`);
    await writeFile(there, 'there');
    assert.equal(await handles.use(there, ({ sizeBytes }) => Promise.resolve(sizeBytes)), 5);
    await assert.rejects(
      handles.use(join(folder.path, 'missing'), () => Promise.resolve()),
      (error) => isErrno(error, 'ENOENT'),
    );
  }
  assert.deepEqual(unhandled, []);
});
