/** Buckets with object lock: what is stored is locked as the repository wants it, and as kopia locks it. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BlobError, blobId, type BlobStore } from '../../src/blobs/blob-store.ts';
import { extendRetention } from '../../src/blobs/extend-retention.ts';
import { LockStore } from '../../src/blobs/lock.ts';
import { lockOf, type ObjectLock } from '../../src/blobs/s3/object-lock.ts';
import type { S3Place } from '../../src/blobs/s3/s3-place.ts';
import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { singlePutBytesMax } from '../../src/blobs/s3/s3-upload.ts';
import { parseXml, textOf } from '../../src/blobs/s3/s3-xml.ts';
import { lockedPrefixes } from '../../src/repository/format/blobcfg.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { DrayClient, DrayFailed } from '../interop/dray-client.ts';
import { identity, image, password, writeSources } from '../interop/site.ts';
import { findKopia, KopiaClient, whyWithout } from '../peers/peers.ts';
import {
  authorityFile,
  bareClient,
  type S3Server,
  type S3ServerName,
  startS3Server,
  testKeys,
} from '../peers/s3-servers.ts';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary.ts';

const signal = AbortSignal.timeout(600_000);
const dayMs = 24 * 60 * 60 * 1000;
const locked = 'locked';
const plain = 'plain';
Object.assign(process.env, {
  AWS_ACCESS_KEY_ID: testKeys.accessKeyId,
  AWS_SECRET_ACCESS_KEY: testKeys.secretAccessKey,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_CONFIG_FILE: '/dev/null',
});

const retention = { mode: 'GOVERNANCE', periodMs: 2 * dayMs };
const code = (expected: BlobError['code']) => (error: unknown) => error instanceof BlobError && error.code === expected;

for (const name of ['minio', 'versitygw'] as const) await onServer(name);

async function onServer(name: S3ServerName): Promise<void> {
  const skip = (await whyWithout(name)) ?? false;
  describe(`locks on ${name}`, { skip }, () => {
    let server: S3Server;
    before(async () => {
      server = await startS3Server(name);
      await server.makeBucket(locked, { objectLock: true });
      await server.makeBucket(plain);
    });
    after(async () => await server[Symbol.asyncDispose]());

    test('a put and an upload, in one request or in parts, are locked for the period from now on', async () => {
      const place = server.place(locked, 'puts/');
      await using store = await openStore(place);
      const beforeMs = clock.nowMs();
      await store.put(blobId('p1'), Buffer.from('one'), { retention, ifAbsent: true, signal });
      await upload(store, 'p2', 1000);
      await upload(store, 'p3', singlePutBytesMax + 1000);
      await store.put(blobId('s1'), Buffer.from('free'), { signal });
      for (const id of ['p1', 'p2', 'p3']) {
        const lock = await lockIn(place, id);
        assert.equal(lock?.mode, 'GOVERNANCE');
        assert.ok(lock.untilMs >= beforeMs + retention.periodMs, id);
        assert.ok(lock.untilMs <= clock.nowMs() + retention.periodMs + 1000, id);
      }
      assert.equal(await lockIn(place, 's1'), undefined);
    });

    test('a removal of a locked blob hides it and keeps its bytes; one of that version is refused, by name', async () => {
      const place = server.place(locked, 'removed/');
      await using store = await openStore(place);
      const id = blobId('p1');
      await store.put(id, Buffer.from('kept'), { retention, signal });
      await store.remove(id, { signal });
      await assert.rejects(store.get(id, { signal }), code('blob-not-found'));
      assert.deepEqual(await Array.fromAsync(store.list('', { signal })), []);
      await using bare = await bareClient(place);
      const versionId = await versionOf(place, 'p1');
      const asked = { key: `${place.prefix}p1`, query: { versionId }, doing: 'the old version' };
      await assert.rejects(bare.client.send({ method: 'DELETE', ...asked }, { signal }), code('blob-locked'));
      assert.equal(
        Buffer.from((await bare.client.send({ method: 'GET', ...asked }, { signal })).body).toString(),
        'kept',
      );
    });

    test('retention is extended for all blobs that are locked, and never shortened', async () => {
      const place = server.place(locked, 'extended/');
      await using bare = await openStore(place);
      await using store = new LockStore(bare, { prefixes: ['p', 'q'], retention });
      for (let index = 0; index < 40; index += 1) {
        await store.put(blobId(`${index % 2 === 0 ? 'p' : 'q'}${index}`), Buffer.from('x'), { signal });
      }
      await store.put(blobId('s1'), Buffer.from('x'), { signal });
      const longer = { mode: 'GOVERNANCE', periodMs: 5 * dayMs };
      const before = await lockIn(place, 'p0');
      const done = await extendRetention(store, { prefixes: ['p', 'q'], retention: longer }, { signal });
      assert.deepEqual(done, { extended: 40, failed: 0, failures: [] });
      const lock = await lockIn(place, 'p0');
      assert.ok(before !== undefined && lock !== undefined && lock.untilMs - before.untilMs >= 3 * dayMs - 1000);
      assert.deepEqual(await extendRetention(store, { prefixes: ['p', 'q'], retention }, { signal }), done);
      assert.deepEqual(await lockIn(place, 'p0'), lock);
      assert.equal(await lockIn(place, 's1'), undefined);
    });

    test('a bucket without object lock refuses what is to be locked', async () => {
      await using store = await openStore(server.place(plain, 'no/'));
      await assert.rejects(store.put(blobId('p1'), Buffer.from('x'), { retention, signal }), code('blob-no-lock'));
      await assert.rejects(upload(store, 'p2', 1000), code('blob-no-lock'));
      // versitygw stores first and refuses then; whoever makes a repository tries the bucket before.
      if (name === 'minio') assert.deepEqual(await Array.fromAsync(store.list('', { signal })), []);
      await store.put(blobId('p3'), Buffer.from('x'), { signal });
      const extended = extendRetention(store, { prefixes: ['p'], retention }, { signal });
      await assert.rejects(extended, code('blob-no-lock'));
      await assert.rejects(
        store.put(blobId('p1'), Buffer.from('x'), { retention: { mode: 'Locked', periodMs: dayMs }, signal }),
        code('blob-no-lock'),
      );
    });

    test('a bucket is tried, and nothing is left of it', async () => {
      await using store = await openStore(server.place(locked, 'tried/'));
      assert.deepEqual(await store.tryLock({ signal }), { works: true });
      assert.equal(await versionOf(server.place(locked, 'tried/'), 'kopia.repository'), '');
      await using without = await openStore(server.place(plain, 'tried/'));
      const { works, reason } = await without.tryLock({ signal });
      assert.equal(works, false);
      assert.match(reason ?? '', /made without object lock/);
      assert.equal(await versionOf(server.place(plain, 'tried/'), 'kopia.repository'), '');
    });
  });
}

describe(
  'an immutable repository',
  { skip: (await whyWithout('minio')) ?? (await whyWithout('kopia')) ?? false },
  () => {
    let server: S3Server;
    let folder: TemporaryFolder;
    before(async () => {
      server = await startS3Server('minio');
      await server.makeBucket(locked, { objectLock: true });
      await server.makeBucket(plain);
      folder = await temporaryFolder('object-lock');
    });
    after(async () => {
      await server[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    });

    test('made by kopia > all that dray stores in it is locked as kopia locks it', async () => {
      await using kopia = await openKopia('by-kopia/', true, [
        '--retention-mode=COMPLIANCE',
        '--retention-period=2880h',
      ]);
      const sources = await writeSources(join(folder.path, 'first'), image(1));
      await kopia.run(['snapshot', 'create', sources.files]);
      const place = server.place(locked, 'by-kopia/');
      const byKopia = await locksOf(place);
      await using dray = await DrayClient.open(server.url(locked, 'by-kopia'), password, identity);
      const { snapshot } = await dray.backup(sources.image);
      await dray.verify();
      const all = await locksOf(place);
      assertLocks(all, { mode: 'COMPLIANCE', periodMs: 120 * dayMs });
      const mine = [...all.keys()].filter((id) => !byKopia.has(id));
      assert.deepEqual(new Set(mine.map((id) => id[0])), new Set(['p', 'q', 'x']));
      await kopia.verify();
      await kopia.restore(snapshot, join(folder.path, 'by-kopia'));
      assert.deepEqual(await readFile(join(folder.path, 'by-kopia', 'disk.img')), image(1));
    });

    test('made by dray > says so, locks all of it, and kopia writes to it with the same locks', async () => {
      await using dray = await DrayClient.open(server.url(locked, 'by-dray'), password, identity);
      await dray.create(['--retention-mode', 'governance', '--retention-period', '30d']);
      const sources = await writeSources(join(folder.path, 'second'), image(2));
      await dray.backup(sources.image);
      const status = JSON.parse(await dray.run(['repository', 'status', '-o', 'json'])) as Status;
      assert.deepEqual(status.retention, { mode: 'GOVERNANCE', periodMs: 30 * dayMs });
      const place = server.place(locked, 'by-dray/');
      const byDray = await locksOf(place);
      assertLocks(byDray, { mode: 'GOVERNANCE', periodMs: 30 * dayMs });
      const stray = 'p0123456789abcdef0123456789abcdef-s0123456789abcdef147';
      await using bare = await openStore(place);
      await bare.put(blobId(stray), Buffer.from('of a writer that has locked nothing'), { signal });
      assert.equal(await lockIn(place, stray), undefined);
      const maintained = JSON.parse(await dray.run(['repository', 'maintain', '--full', '-o', 'json'])) as Maintained;
      const extension = maintained.tasks.find(({ task }) => task === 'extend-blob-retention-time');
      assert.deepEqual([extension?.state, extension?.stats?.['retentionPeriod']], ['done', '720h0m0s']);
      assertLocks(await locksOf(place), { mode: 'GOVERNANCE', periodMs: 30 * dayMs });
      await using kopia = await openKopia('by-dray/', false);
      assert.match((await kopia.run(['repository', 'status'])).stdout, /Blob retention mode: +GOVERNANCE\n[^]*720h/);
      await kopia.run(['snapshot', 'create', sources.files]);
      await dray.run(['repository', 'password'], { DRAY_NEW_PASSWORD: 'another' });
      assertLocks(await locksOf(place), { mode: 'GOVERNANCE', periodMs: 30 * dayMs });
    });

    test('is made only where locks work, and with a mode and a period', async () => {
      for (const [bucket, args, exitCode, message] of [
        [
          plain,
          ['--retention-mode', 'governance', '--retention-period', '2d'],
          1,
          /made without object lock[^]*next: Use a bucket/,
        ],
        [locked, ['--retention-mode', 'governance'], 2, /together/],
        [locked, ['--retention-mode', 'governance', '--retention-period', '23h'], 2, /a day or more/],
      ] as const) {
        await using dray = await DrayClient.open(server.url(bucket, 'refused'), password, identity);
        await assert.rejects(
          dray.create(args),
          (error) => error instanceof DrayFailed && error.exitCode === exitCode && message.test(error.stderr),
        );
        await using store = await openStore(server.place(bucket, 'refused/'));
        assert.deepEqual(await Array.fromAsync(store.list('', { signal })), []);
      }
      await using inFolder = await DrayClient.open(join(folder.path, 'folder'), password, identity);
      await assert.rejects(
        inFolder.create(['--retention-mode', 'compliance', '--retention-period', '2d']),
        (error) => error instanceof DrayFailed && /is a folder/.test(error.stderr),
      );
    });

    async function openKopia(prefix: string, create: boolean, options: readonly string[] = []): Promise<KopiaClient> {
      const kopia = await KopiaClient.open((await findKopia()) ?? '', prefix);
      const endpoint = new URL(server.endpoint).host;
      const storage = ['s3', `--bucket=${locked}`, `--prefix=${prefix}`, `--endpoint=${endpoint}`, ...options];
      await kopia.connectTo([...storage, `--root-ca-pem-path=${authorityFile}`], { password, create, identity });
      return kopia;
    }
  },
);

interface Status {
  readonly retention?: { readonly mode: string; readonly periodMs: number };
}

async function openStore(place: S3Place): Promise<S3Store> {
  return await S3Store.open(place, { signal, clock, findKeys: async () => testKeys });
}

async function upload(store: BlobStore, id: string, lengthBytes: number): Promise<void> {
  await using pending = await store.upload(blobId(id), { retention, signal });
  const pieceBytes = 8 * 1024 * 1024;
  for (let at = 0; at < lengthBytes; at += pieceBytes) {
    await pending.write(new Uint8Array(Math.min(pieceBytes, lengthBytes - at)).fill(at / pieceBytes));
  }
  await pending.commit();
}

async function lockIn(place: S3Place, id: string): Promise<ObjectLock | undefined> {
  await using bare = await bareClient(place);
  return await lockOf(bare.client, `${place.prefix}${id}`, { doing: `lock of ${id}`, signal });
}

interface Locked {
  readonly lock: ObjectLock | undefined;
  readonly timestampMs: number;
}

interface Maintained {
  readonly tasks: readonly { task: string; state: string; stats: Readonly<Record<string, unknown>> | null }[];
}

/** Of every blob. */
async function locksOf(place: S3Place): Promise<ReadonlyMap<string, Locked>> {
  await using store = await openStore(place);
  const locks = new Map<string, Locked>();
  for await (const { id, timestampMs } of store.list('', { signal })) {
    locks.set(id, { lock: await lockIn(place, id), timestampMs });
  }
  return locks;
}

/** What is to be locked is, for the period from when it was stored; the rest is not. */
function assertLocks(
  locks: ReadonlyMap<string, Locked>,
  { mode, periodMs }: { readonly mode: string; readonly periodMs: number },
): void {
  assert.ok(locks.size > 5);
  for (const [id, { lock, timestampMs }] of locks) {
    if (!lockedPrefixes.some((prefix) => id.startsWith(prefix))) {
      assert.equal(lock, undefined, id);
      continue;
    }
    assert.equal(lock?.mode, mode, id);
    // Two programs and a server, each with a clock of its own on one machine.
    assert.ok(Math.abs(lock.untilMs - timestampMs - periodMs) < 60_000, `${id} ${lock.untilMs - timestampMs}`);
  }
}

/** The name of the only version, or the newest, of an object that may be hidden; empty when there is none. */
async function versionOf(place: S3Place, id: string): Promise<string> {
  await using bare = await bareClient(place);
  const query = { versions: '', prefix: `${place.prefix}${id}` };
  const { body } = await bare.client.send({ method: 'GET', query, doing: 'list versions' }, { signal });
  const version = parseXml(body).children.find(({ name }) => name === 'Version');
  return version === undefined ? '' : (textOf(version, 'VersionId') ?? '');
}
