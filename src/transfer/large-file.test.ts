import assert from 'node:assert/strict';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { LargeFile } from './large-file.ts';

test('what is recorded of a file with a damaged part is never believed: the part lies below what is written', async () => {
  const path = await mkdtemp(join(tmpdir(), 'large-file-'));
  try {
    await using folder = await open(path, 'r');
    const attributes = { mode: 0o644, owner: undefined, modified: { seconds: 1, nanoseconds: 0 } };
    const place = { folder: folder.fd, name: 'file', path: 'file', sizeBytes: 300, attributes };
    const options = { existing: 'refuse', own: true, partial: undefined, temporaryName: '.temporary' } as const;
    const file = LargeFile.open(place, options)!;
    for (const offset of [0, 100, 200]) file.begin(offset, 100);
    file.end(0);
    assert.equal(file.progress.watermark, 100);
    file.damaged(new Error('lost'));
    file.end(100);
    assert.equal(file.progress.watermark, 0);
    file.close();
  } finally {
    await rm(path, { recursive: true });
  }
});
