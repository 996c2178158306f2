/** A stub server behind a store, bare and with retries, whose clock is the test's. */
import { type BlobStore } from '../../src/blobs/blob-store.ts';
import { RetryStore } from '../../src/blobs/retry.ts';
import { type FindKeys } from '../../src/blobs/s3/s3-credentials.ts';
import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { type Clock, systemClock } from '../../src/std/clock.ts';
import { seededRng } from '../../src/std/rng.ts';
import { startStub, type StubScript, type StubServer } from './stub-server.ts';

const signal = AbortSignal.timeout(120_000);
const keys = { accessKeyId: 'a-key', secretAccessKey: 'a-secret' };

/** Pauses of retries take no time; a request's own deadline passes when the test says so. */
export class TestClock implements Clock {
  nowMs = (): number => systemClock.nowMs();
  monotonicMs = (): number => systemClock.monotonicMs();
  #deadlines: (() => void)[] = [];

  async sleep(ms: number, options: { readonly signal: AbortSignal }): Promise<void> {
    options.signal.throwIfAborted();
    if (ms < 30_000) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#deadlines.push(resolve);
    options.signal.addEventListener('abort', () => reject(new Error('ended')), { once: true });
    await promise;
  }

  passDeadline(): void {
    for (const resolve of this.#deadlines.splice(0)) resolve();
  }
}

export interface Faulty extends AsyncDisposable {
  readonly stub: StubServer;
  readonly bare: S3Store;
  readonly retried: BlobStore;
  readonly clock: TestClock;
}

export async function faulty(
  script: StubScript = () => 'serve',
  findKeys: FindKeys = async () => keys,
): Promise<Faulty> {
  const clock = new TestClock();
  const stub = await startStub();
  stub.script = script;
  const bare = await S3Store.open(stub.place, { signal, clock, findKeys });
  const options = { attemptsMax: 8, firstPauseMs: 1, pauseMsMax: 1, budgetMs: 60_000 };
  const retried = new RetryStore({ store: bare, clock, rng: seededRng(1) }, options);
  return {
    stub,
    bare,
    retried,
    clock,
    [Symbol.asyncDispose]: async () => {
      await bare[Symbol.asyncDispose]();
      await stub[Symbol.asyncDispose]();
    },
  };
}
