/**
 * Object lock: each object names a time until which nobody may remove that version of it (`COMPLIANCE`), or only somebody
 * with a permission of its own (`GOVERNANCE`). A bucket with it keeps all versions: removing an object by its name makes a marker that
 * hides it, always succeeds and gives no space back; overwriting it makes another version.
 */
import { createHash } from 'node:crypto';
import { hasCode } from '../../std/dray-error.ts';
import { BlobError, type BlobCall, type BlobRetention } from '../blob-store.ts';
import type { S3Client } from './s3-client.ts';
import { S3Failure } from './s3-failure.ts';
import { parseXml, textOf, xmlElement } from './s3-xml.ts';

/** A lock as the server keeps it. */
export interface ObjectLock {
  readonly mode: string;
  /** Whole seconds, as milliseconds since the Unix epoch. */
  readonly untilMs: number;
}

export interface LockCall extends BlobCall {
  readonly doing: string;
}

/** @throws {BlobError} `blob-no-lock` when S3 has no such mode */
export function lockFrom(
  { mode, periodMs }: BlobRetention,
  { nowMs, doing }: { nowMs: number; doing: string },
): ObjectLock {
  if (mode !== 'GOVERNANCE' && mode !== 'COMPLIANCE') {
    throw new BlobError('blob-no-lock', `${doing}: S3 has no retention mode ${JSON.stringify(mode.slice(0, 40))}`);
  }
  return { mode, untilMs: Math.ceil((nowMs + periodMs) / 1000) * 1000 };
}

/** What a request that makes an object carries, so that the object is locked from its first moment on. */
export function lockHeaders({ mode, untilMs }: ObjectLock): Readonly<Record<string, string>> {
  return { 'x-amz-object-lock-mode': mode, 'x-amz-object-lock-retain-until-date': isoTime(untilMs) };
}

/** PutObjectRetention on the present version. A lock that is there and lasts as long, or longer, is left as it is. */
export async function extendLock(client: S3Client, key: string, lock: ObjectLock, call: LockCall): Promise<void> {
  const { doing, signal } = call;
  const content = xmlElement('Mode', lock.mode) + xmlElement('RetainUntilDate', isoTime(lock.untilMs));
  const body = Buffer.from(`<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</Retention>`);
  const md5 = createHash('md5').update(body).digest('base64');
  const headers = { 'content-md5': md5, 'content-type': 'application/xml' };
  try {
    await client.send(
      { method: 'PUT', key, query: { retention: '' }, headers, body: { pieces: [body] }, doing },
      { signal },
    );
  } catch (error) {
    if (!hasCode(error, 'blob-locked') && !hasCode(error, 'blob-denied')) throw error;
    const present = await lockOf(client, key, call);
    if (present === undefined || present.untilMs < lock.untilMs) throw error;
  }
}

/** GetObjectRetention of the present version; undefined when it is not locked. */
export async function lockOf(
  client: S3Client,
  key: string,
  { doing, signal }: LockCall,
): Promise<ObjectLock | undefined> {
  try {
    const { body } = await client.send({ method: 'GET', key, query: { retention: '' }, doing }, { signal });
    const root = parseXml(body);
    const untilMs = Date.parse(textOf(root, 'RetainUntilDate') ?? '');
    const mode = textOf(root, 'Mode');
    return mode === undefined || Number.isNaN(untilMs) ? undefined : { mode, untilMs };
  } catch (error) {
    if (error instanceof S3Failure && error.s3Code === 'NoSuchObjectLockConfiguration') return undefined;
    throw error;
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}
