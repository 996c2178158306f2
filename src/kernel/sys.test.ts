import assert from 'node:assert/strict';
import { open, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { cachedFraction, dropCached } from './page-cache.ts';
import { fallocate, ioctl, ioctlAsync, KernelError, lseek } from './sys.ts';

describe('system calls', () => {
  test('fail with the name of the error, on the main thread and off it', async () => {
    const named =
      (errno: string) =>
      (error: unknown): boolean =>
        error instanceof KernelError && error.errno === errno;
    assert.throws(() => ioctl(9999, 0x1268, null), named('EBADF'));
    assert.throws(() => lseek(9999, 0, 0), named('EBADF'));
    await assert.rejects(ioctlAsync(9999, 0x1268, null), named('EBADF'));
    await assert.rejects(fallocate(9999, 0, { offset: 0, lengthBytes: 1 }), named('EBADF'));
    const many = Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? 9999 : 0));
    const results = await Promise.allSettled(many.map((fd) => ioctlAsync(fd, 0x1268, null)));
    for (const [index, result] of results.entries()) {
      assert.ok(result.status === 'rejected' && result.reason instanceof KernelError);
      assert.equal(result.reason.errno === 'EBADF', index % 2 === 0);
    }
  });

  test('tell how much of a file is cached, where the kernel can', async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'dray-cache-'));
    try {
      await using file = await open(join(folder, 'file'), 'w+');
      await file.write(Buffer.alloc(1 << 20, 1));
      await file.sync();
      const fraction = cachedFraction(file.fd, 1 << 20);
      if (fraction === undefined) return context.skip('this kernel has no cachestat');
      assert.equal(fraction, 1);
      dropCached(file.fd);
      assert.ok((cachedFraction(file.fd, 1 << 20) ?? 1) <= 1);
      assert.equal(cachedFraction(file.fd, 0), 1);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
