/**
 * Tries all that a blob store promises on a user's own: each promise in a place of its own, which did not exist before and
 * does not afterwards. A place that cannot be cleared is named, so that somebody can.
 */
import { rm } from 'node:fs/promises';

import type { BlobStore } from '../../blobs/blob-store.ts';
import { storeContract } from '../../blobs/contract/contract.ts';
import type { StorePromise } from '../../blobs/contract/store-promise.ts';
import { describeLocation, placeWithin, type BlobStoreLocation } from '../../blobs/location.ts';
import { openBlobStore } from '../../blobs/open-blob-store.ts';
import { DrayError } from '../../std/dray-error.ts';
import { toError } from '../../std/to-error.ts';
import type { Action } from '../command.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { StoreCheckOptions } from '../store-check.ts';
import { storeLocation } from './begin-opening.ts';
import { tryLock } from './try-lock.ts';
import { randomHex } from '../../std/rng.ts';

/** Beyond it, Kopia's rules and ours about what is old enough to be deleted do not hold (Kopia `maxClockSkew`). */
const clockSkewMsMax = 5 * 60 * 1000;

interface Tried {
  readonly promise: string;
  readonly kept: boolean;
  /** What was seen instead, and what that can lead to. */
  readonly reason?: string;
  readonly without?: string;
}

export const storeCheck: Action<StoreCheckOptions> = async (context, { url }) => {
  const location = storeLocation(context, { url });
  const clockSkewMs = await skewOf(location, context);
  const name = `dray-check-${randomHex(context.rng, 8)}`;
  const tried: Tried[] = [];
  for (const [index, promise] of storeContract.entries()) {
    const place = { ...location, ...placeWithin(location, `${name}-${index}`) };
    tried.push(await tryPromise(promise, place, context));
  }
  const { works: locks, reason } = await tryLock(location, context);
  const onTime = Math.abs(clockSkewMs) <= clockSkewMsMax;
  if (!onTime) {
    context.log.warn(`this machine and the store differ by ${Math.round(clockSkewMs / 1000)} s: set the clock`);
  }
  const broken = tried.filter(({ kept }) => !kept);
  const value = {
    store: describeLocation(location),
    kept: broken.length === 0 && onTime,
    clockSkewMs,
    objectLock: { works: locks, reason },
    promises: tried,
  };
  await context.output.record(value, {
    names: broken.map(({ promise }) => promise),
    fields: [
      ['Store', value.store],
      ['Clock', `${secondsText(clockSkewMs)} s from this machine's`],
      ['Object lock', locks ? 'works: repositories can be immutable' : `none: ${reason}`],
      ...broken.flatMap(({ promise, reason = '', without = '' }): [string, string][] => [
        ['Broken', `${promise}: ${reason}`],
        ['', `so ${without}`],
      ]),
      ['Result', `${tried.length - broken.length} of ${tried.length} promises are kept`],
    ],
  });
  return value.kept ? exitCodes.done : exitCodes.failed;
};

/** Fails where the store cannot be reached at all, or refuses everything. */
async function skewOf(location: BlobStoreLocation, { clock, rng, signal }: CliContext): Promise<number> {
  await using store = await openBlobStore(location, { signal, clock, rng });
  return (await store.serverTimeMs({ signal })) - clock.nowMs();
}

async function tryPromise(
  { sentence, without, check }: StorePromise,
  place: BlobStoreLocation,
  { clock, rng, log, signal }: CliContext,
): Promise<Tried> {
  await using store = await openBlobStore(place, { create: true, signal, clock, rng });
  try {
    await check(store, signal);
    return { promise: sentence, kept: true };
  } catch (error) {
    signal.throwIfAborted();
    return { promise: sentence, kept: false, reason: firstLine(toError(error)), without };
  } finally {
    await clear(store, place).catch((error: unknown) => {
      log.warn(`${describeLocation(place)} could not be cleared, remove it by hand: ${firstLine(toError(error))}`);
    });
  }
}

/** Also when the command is being interrupted. */
async function clear(store: BlobStore, place: BlobStoreLocation): Promise<void> {
  if (place.kind === 'directory') return await rm(place.path, { recursive: true, force: true });
  const { signal } = new AbortController();
  const blobs = await Array.fromAsync(store.list('', { signal }));
  for (const { id } of blobs) await store.remove(id, { signal });
}

function firstLine(error: Error): string {
  const text =
    error instanceof DrayError && error.cause instanceof Error
      ? `${error.message}: ${error.cause.message}`
      : error.message;
  return text.split('\n')[0] ?? '';
}

/** To a tenth, and never a zero with a sign. */
function secondsText(ms: number): string {
  return (Math.round(ms / 100) / 10 + 0).toFixed(1);
}
