/**
 * Whether a bucket really locks: a small object is locked for some minutes, and removing that version of it must fail. Asking
 * the bucket for its settings would not tell: there are servers that know the words and do nothing.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../std/clock.ts';
import { hasCode } from '../../std/dray-error.ts';
import { BlobError } from '../blob-store.ts';
import { type LockCall, lockFrom, lockHeaders, lockOf, type ObjectLock } from './object-lock.ts';
import type { S3Client } from './s3-client.ts';

/** Longer than two clocks may differ, and no burden where the object cannot be removed before. */
const trialMs = 15 * 60 * 1000;

export interface LockTrial {
  readonly works: boolean;
  /** What was seen instead. */
  readonly reason?: string;
  /** The object that could not be removed again. */
  readonly left?: string;
}

interface TrialParts {
  readonly client: S3Client;
  readonly clock: Clock;
}

/** `key` must be free. What is refused for other reasons than locks, such as a wrong key, is thrown. @throws {BlobError} */
export async function tryLock({ client, clock }: TrialParts, key: string, call: LockCall): Promise<LockTrial> {
  const { doing, signal } = call;
  const lock = lockFrom({ mode: 'GOVERNANCE', periodMs: trialMs }, { nowMs: clock.nowMs(), doing });
  const bytes = Buffer.from('made by "dray store check"; may be removed\n');
  const headers = { 'content-md5': createHash('md5').update(bytes).digest('base64'), ...lockHeaders(lock) };
  let versionId: string | undefined;
  try {
    const answer = await client.send({ method: 'PUT', key, headers, body: { pieces: [bytes] }, doing }, { signal });
    versionId = answer.headers['x-amz-version-id'];
  } catch (error) {
    if (!hasCode(error, 'blob-no-lock') && !hasCode(error, 'blob-denied')) throw error;
    // Some servers store the object and refuse its lock.
    const left = (await isRemoved({ client, clock }, key, { ...call, versionId })) ? undefined : key;
    return { works: false, reason: error.message, ...(left && { left }) };
  }
  const reason = await whyUnlocked({ client, clock }, key, { ...call, versionId, untilMs: lock.untilMs });
  const left = (await isRemoved({ client, clock }, key, { ...call, versionId })) ? undefined : key;
  return { works: reason === undefined, ...(reason && { reason }), ...(left && { left }) };
}

type Versioned = LockCall & { readonly versionId: string | undefined };

async function whyUnlocked(
  { client }: TrialParts,
  key: string,
  { versionId, untilMs, doing, signal }: Versioned & { readonly untilMs: number },
): Promise<string | undefined> {
  let present: ObjectLock | undefined;
  try {
    present = await lockOf(client, key, { doing, signal });
  } catch (error) {
    if (!(error instanceof BlobError) || signal.aborted) throw error;
    return `the server does not tell whether an object is locked: ${error.message}`;
  }
  if (present?.untilMs !== untilMs) return 'the server takes the lock and does not keep it';
  if (versionId === undefined) return 'the bucket keeps no versions';
  try {
    await client.send({ method: 'DELETE', key, query: { versionId }, doing }, { signal });
  } catch (error) {
    if (hasCode(error, 'blob-locked') || hasCode(error, 'blob-denied')) return undefined;
    throw error;
  }
  return 'the server removes what is locked';
}

/** With the permission to pass over a governance lock, as owners of buckets have it; without it, the object is hidden. */
async function isRemoved(
  { client }: TrialParts,
  key: string,
  { versionId, doing, signal }: Versioned,
): Promise<boolean> {
  try {
    const query = versionId === undefined ? {} : { versionId };
    const headers = { 'x-amz-bypass-governance-retention': 'true' };
    await client.send({ method: 'DELETE', key, query, headers, doing }, { signal });
    return true;
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    await client.send({ method: 'DELETE', key, doing }, { signal }).catch(() => undefined);
    return false;
  }
}
