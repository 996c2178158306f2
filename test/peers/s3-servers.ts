/**
 * Real S3 servers as parts of tests: versitygw and MinIO, built by `test/peers/build.sh`, each in a folder and on a port of
 * its own, with TLS by a certificate for 127.0.0.1 whose authority lies in `tls/`. Its keys are of no use to anybody else.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpExchange } from '../../src/blobs/s3/http-exchange.ts';
import { S3Client, usesTls } from '../../src/blobs/s3/s3-client.ts';
import { S3Credentials } from '../../src/blobs/s3/s3-credentials.ts';
import type { S3Place } from '../../src/blobs/s3/s3-place.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { findPeer } from './peers.ts';
import { listenHere } from '../support/listen-here.ts';

export type S3ServerName = 'versitygw' | 'minio';

const tls = join(import.meta.dirname, 'tls');
export const authorityFile: string = join(tls, 'ca.pem');
export const certificateFile: string = join(tls, 'server.pem');
export const certificateKeyFile: string = join(tls, 'server.key');

export const testKeys = { accessKeyId: 'dray-test-key', secretAccessKey: 'dray-test-secret' } as const;

export interface S3Server extends AsyncDisposable {
  readonly name: S3ServerName;
  readonly endpoint: string;
  /** `s3://bucket/prefix?…` as a user writes it. */
  url(bucket: string, prefix?: string): string;
  place(bucket: string, prefix?: string): S3Place;
  /** With `objectLock` it keeps versions and can lock them. */
  makeBucket(bucket: string, options?: { readonly objectLock?: boolean }): Promise<void>;
  /** Ends the server and starts it again on the same port and folder. */
  restart(): Promise<void>;
}

export interface S3ServerOptions {
  readonly tls?: boolean;
  readonly region?: string;
  /** Without, versitygw makes ETags of checksums. MD5 takes a third of its processor time, which a bench shares with it. */
  readonly md5?: boolean;
}

/** The program must be there: `whyWithout` tells. */
export async function startS3Server(
  name: S3ServerName,
  { tls: secure = true, region = 'us-east-1', md5 = true }: S3ServerOptions = {},
): Promise<S3Server> {
  const program = await findPeer(name);
  if (program === undefined) throw new Error(`${name} is not there`);
  const folder = await mkdtemp(join(tmpdir(), 'dray-s3-'));
  const port = await freePort();
  const start = async (): Promise<ChildProcess> => {
    const command =
      name === 'minio' ? await minio(folder, { secure, region }) : await versitygw(folder, { secure, region, md5 });
    return await started(program, { ...command, address: `127.0.0.1:${port}`, port });
  };
  let child = await start();
  const endpoint = `${secure ? 'https' : 'http'}://127.0.0.1:${port}`;
  const place = (bucket: string, prefix = ''): S3Place => ({
    kind: 's3',
    bucket,
    prefix,
    endpoint,
    region,
    pathStyle: true,
    ...(secure && { caFile: authorityFile }),
  });
  return {
    name,
    endpoint,
    place,
    url: (bucket, prefix = '') => {
      const query = new URLSearchParams({ endpoint, region, ...(secure && { ca: authorityFile }) });
      return `s3://${bucket}/${prefix}?${query.toString()}`;
    },
    makeBucket: async (bucket, { objectLock = false } = {}) => {
      await using bare = await bareClient(place(bucket));
      const signal = AbortSignal.timeout(30_000);
      for (;;) {
        try {
          const headers = objectLock ? { 'x-amz-bucket-object-lock-enabled': 'true' } : undefined;
          await bare.client.send({ method: 'PUT', headers, doing: `make ${bucket}` }, { signal });
          return;
        } catch (error) {
          // It answers before it has initialised itself.
          if (!hasCode(error, 'blob-unavailable')) throw error;
          await sleep(25, undefined, { signal });
        }
      }
    },
    restart: async () => {
      await stopped(child);
      child = await start();
    },
    [Symbol.asyncDispose]: async () => {
      await stopped(child);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Requests that a store does not make, such as making a bucket. */
export async function bareClient(place: S3Place): Promise<AsyncDisposable & { readonly client: S3Client }> {
  const ca = place.caFile === undefined ? undefined : await readFile(place.caFile, 'utf8');
  const exchange = new HttpExchange({ clock }, { tls: usesTls(place), ca });
  const credentials = new S3Credentials({ clock, find: async () => testKeys });
  const client = new S3Client({ clock, exchange, credentials }, place);
  return { client, [Symbol.asyncDispose]: async () => exchange[Symbol.dispose]() };
}

interface ServerCommand {
  readonly before: readonly string[];
  readonly addressFlag: string;
  readonly after: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

interface Wanted {
  readonly secure: boolean;
  readonly region: string;
}

async function versitygw(
  folder: string,
  { secure, region, md5 }: Wanted & { readonly md5: boolean },
): Promise<ServerCommand> {
  await mkdir(join(folder, 'data'), { recursive: true });
  await mkdir(join(folder, 'old'), { recursive: true });
  const keys = { ROOT_ACCESS_KEY: testKeys.accessKeyId, ROOT_SECRET_KEY: testKeys.secretAccessKey };
  const certificate = secure ? ['--cert', certificateFile, '--key', certificateKeyFile] : [];
  const before = ['--region', region, '--quiet', '--keep-alive', ...certificate];
  const etags = md5 ? [] : ['--data-integrity-etag'];
  return {
    before,
    addressFlag: '--port',
    after: ['posix', ...etags, '--versioning-dir', join(folder, 'old'), join(folder, 'data')],
    env: keys,
  };
}

async function minio(folder: string, { secure, region }: Wanted): Promise<ServerCommand> {
  const certificates = join(folder, 'certs');
  await mkdir(certificates, { recursive: true });
  if (secure) {
    await copyFile(certificateFile, join(certificates, 'public.crt'));
    await copyFile(certificateKeyFile, join(certificates, 'private.key'));
  }
  const env = {
    MINIO_ROOT_USER: testKeys.accessKeyId,
    MINIO_ROOT_PASSWORD: testKeys.secretAccessKey,
    MINIO_REGION: region,
    MINIO_BROWSER: 'off',
    MINIO_UPDATE: 'off',
  };
  const before = ['server', '--quiet', '--certs-dir', certificates];
  return { before, addressFlag: '--address', after: [join(folder, 'data')], env };
}

async function started(
  program: string,
  command: ServerCommand & { readonly address: string; readonly port: number },
): Promise<ChildProcess> {
  const { before, addressFlag, address, after, env, port } = command;
  const child = spawn(program, [...before, addressFlag, address, ...after], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (piece: Buffer) => (said = (said + piece.toString()).slice(-2000)));
  for (let attempt = 0; attempt < 400; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}: ${said}`);
    if (await answers(port)) return child;
    // There is no event to wait for in another process: the port is asked until it answers.
    await sleep(25);
  }
  child.kill('SIGKILL');
  throw new Error(`${program} did not listen on ${address}: ${said}`);
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once('exit', () => resolve());
  child.kill('SIGKILL');
  await promise;
}

async function answers(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, '127.0.0.1');
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  const result = await promise;
  socket.destroy();
  return result;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenHere(server);
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  return port;
}
