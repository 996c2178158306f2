import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { blobId } from './blob-store.ts';
import { MemoryStore } from './memory-store.ts';
import { createRateBucket, RateStore } from './rate.ts';

const { signal } = new AbortController();

describe('the rate layer', () => {
  test('lets all its users together through at the rate', async () => {
    let nowMs = 1_000;
    const clock = {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      sleep: async (ms: number): Promise<void> => void (nowMs += ms),
    };
    const memory = new MemoryStore({ clock });
    const options = { bytesPerSecond: 1_000_000, bucket: createRateBucket() };
    const users = [new RateStore({ store: memory, clock }, options), new RateStore({ store: memory, clock }, options)];
    const startedMs = nowMs;
    for (let round = 0; round < 50; round += 1) {
      for (const [index, user] of users.entries()) {
        await user.put(blobId(`p${index}`), new Uint8Array(50_000), { signal });
        await user.get(blobId(`p${index}`), { range: { offset: 0, lengthBytes: 25_000 }, signal });
        await user.get(blobId(`p${index}`), { signal });
        await using upload = await user.upload(blobId('q'), { signal });
        await upload.write(new Uint8Array(25_000));
        await upload.commit();
      }
    }
    const bytes = 50 * 2 * 150_000;
    const rate = bytes / ((nowMs - startedMs) / 1000);
    assert.ok(rate < 1_030_000 && rate > 990_000, `${rate} bytes per second`);
  });

  test('does not wait in an idle store', async () => {
    const waits: number[] = [];
    const clock = { nowMs: () => 0, monotonicMs: () => 5_000, sleep: async (ms: number) => void waits.push(ms) };
    const options = { bytesPerSecond: 1_000, bucket: createRateBucket() };
    const store = new RateStore({ store: new MemoryStore({ clock }), clock }, options);
    await store.put(blobId('p'), new Uint8Array(10_000), { signal });
    assert.deepEqual(waits, []);
    await store.put(blobId('p'), new Uint8Array(1), { signal });
    assert.equal(waits.length, 1);
  });
});
