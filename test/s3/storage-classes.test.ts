/** Kopia's `.storageconfig`: in which class each blob is stored, on a real server and beside a real kopia. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { BlobError, blobId, type BlobStore } from '../../src/blobs/blob-store.ts';
import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { singlePutBytesMax } from '../../src/blobs/s3/s3-upload.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { DrayClient } from '../interop/dray-client.ts';
import { identity, image, password, writeSources } from '../interop/site.ts';
import { findKopia, KopiaClient, whyWithout } from '../peers/peers.ts';
import { authorityFile, bareClient, type S3Server, startS3Server, testKeys } from '../peers/s3-servers.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { startStub, type StubServer } from './stub-server.ts';

const signal = AbortSignal.timeout(300_000);
const findKeys = async (): Promise<typeof testKeys> => testKeys;
const config = blobId('.storageconfig');
const reduced = 'REDUCED_REDUNDANCY';
const rules = Buffer.from(
  JSON.stringify({
    blobOptions: [
      { prefix: 'p1', storageClass: '' },
      { prefix: 'p', storageClass: reduced },
      { prefix: 'p2', storageClass: 'STANDARD' },
    ],
  }),
);
const bucket = 'bucket';
const skipKopia = (await whyWithout('kopia')) ?? false;

function coded(code: BlobError['code'], message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof BlobError && error.code === code && message.test(error.message);
}

async function upload(store: BlobStore, name: string, bytes: number): Promise<void> {
  await using pending = await store.upload(blobId(name), { signal });
  await pending.write(new Uint8Array(Math.min(bytes, 60 * 1024 * 1024)));
  if (bytes > 60 * 1024 * 1024) await pending.write(new Uint8Array(bytes - 60 * 1024 * 1024));
  await pending.commit();
}

describe('on a real server', { skip: (await whyWithout('minio')) ?? false }, () => {
  let server: S3Server;
  before(async () => {
    server = await startS3Server('minio');
    await server.makeBucket(bucket);
    Object.assign(process.env, {
      AWS_ACCESS_KEY_ID: testKeys.accessKeyId,
      AWS_SECRET_ACCESS_KEY: testKeys.secretAccessKey,
      AWS_EC2_METADATA_DISABLED: 'true',
    });
  });
  after(async () => await server[Symbol.asyncDispose]());

  /** What the server says of each object below the prefix; it does not name its usual class. */
  async function classes(prefix: string): Promise<ReadonlyMap<string, string | undefined>> {
    const place = server.place(bucket, prefix);
    await using store = await S3Store.open(place, { signal, clock, findKeys });
    await using bare = await bareClient(place);
    const found = new Map<string, string | undefined>();
    for await (const { id } of store.list('', { signal })) {
      const { headers } = await bare.client.send({ method: 'HEAD', key: `${prefix}${id}`, doing: 'look' }, { signal });
      found.set(id, headers['x-amz-storage-class']);
    }
    return found;
  }

  test('the first rule that fits decides, for puts, uploads in one request and uploads in parts', async () => {
    const place = server.place(bucket, 'rules/');
    {
      await using store = await S3Store.open(place, { signal, clock, findKeys });
      await store.put(config, rules, { signal });
    }
    await using store = await S3Store.open(place, { signal, clock, findKeys });
    for (const name of ['p1', 'p2', 'q1']) await store.put(blobId(name), Buffer.from('x'), { ifAbsent: true, signal });
    await upload(store, 'p3', 1000);
    await upload(store, 'p4', singlePutBytesMax + 1000);
    const expected = { p1: undefined, p2: reduced, p3: reduced, p4: reduced, q1: undefined };
    assert.deepEqual(Object.fromEntries(await classes('rules/')), expected);
  });

  test('a class that the server has not is said to come from there', async () => {
    await using store = await S3Store.open(server.place(bucket, 'unknown/'), { signal, clock, findKeys });
    await store.put(config, Buffer.from('{"blobOptions":[{"prefix":"p","storageClass":"ATTIC"}]}'), { signal });
    await using later = await S3Store.open(server.place(bucket, 'unknown/'), { signal, clock, findKeys });
    await assert.rejects(later.put(blobId('p1'), rules, { signal }), coded('blob-layout', /ATTIC|\.storageconfig/));
  });

  test('packs of dray and kopia lie in the same class', { skip: skipKopia }, async () => {
    const prefix = 'both/';
    {
      await using store = await S3Store.open(server.place(bucket, prefix), { signal, clock, findKeys });
      await store.put(config, Buffer.from(`{"blobOptions":[{"prefix":"p","storageClass":"${reduced}"}]}`), { signal });
    }
    await using folder = await temporaryFolder('classes');
    const sources = await writeSources(join(folder.path, 'sources'), image(1));
    await using dray = await DrayClient.open(server.url(bucket, prefix), password, identity);
    await dray.create();
    await dray.backup(sources.image);
    const packs = async (): Promise<readonly (string | undefined)[]> =>
      [...(await classes(prefix))].filter(([id]) => id.startsWith('p')).map(([, storageClass]) => storageClass);
    const ours = await packs();
    assert.ok(ours.length > 0);
    await using kopia = await KopiaClient.open((await findKopia()) ?? '', prefix);
    const endpoint = new URL(server.endpoint).host;
    const storage = ['s3', `--bucket=${bucket}`, `--prefix=${prefix}`, `--endpoint=${endpoint}`];
    await kopia.connectTo([...storage, `--root-ca-pem-path=${authorityFile}`], { password, create: false, identity });
    await kopia.run(['snapshot', 'create', sources.files]);
    await kopia.verify();
    const all = await packs();
    assert.ok(all.length > ours.length);
    assert.deepEqual(new Set(all), new Set([reduced]));
    assert.ok([...(await classes(prefix))].every(([id, of]) => id.startsWith('p') || of === undefined));
  });
});

describe('the settings', () => {
  async function onStub(
    text: string,
  ): Promise<AsyncDisposable & { readonly stub: StubServer; readonly store: S3Store }> {
    const stub = await startStub();
    stub.objects.set('.storageconfig', Buffer.from(text));
    const store = await S3Store.open(stub.place, { signal, clock, findKeys });
    return {
      stub,
      store,
      [Symbol.asyncDispose]: async () => {
        await store[Symbol.asyncDispose]();
        await stub[Symbol.asyncDispose]();
      },
    };
  }

  test('are asked for once, before the first blob is stored, and never by those who read', async () => {
    await using on = await onStub(rules.toString());
    on.stub.objects.set('p1', Buffer.from('x'));
    await on.store.get(blobId('p1'), { signal });
    assert.deepEqual(await Array.fromAsync(on.store.list('', { signal }), ({ id }) => id), ['p1']);
    for (const name of ['p2', 'p3']) await on.store.put(blobId(name), Buffer.from('x'), { signal });
    assert.deepEqual(
      on.stub.requests.map(({ method, key, headers }) => [method, key, headers['x-amz-storage-class']]),
      [
        ['GET', 'p1', undefined],
        ['GET', '', undefined],
        ['GET', '.storageconfig', undefined],
        ['PUT', 'p2', reduced],
        ['PUT', 'p3', reduced],
      ],
    );
  });

  test('that are damaged or without end forbid storing, not reading', async () => {
    for (const text of ['{"blobOptions":', `{}${' '.repeat(64 * 1024)}`]) {
      await using on = await onStub(text);
      await assert.rejects(
        on.store.put(blobId('p2'), Buffer.from('x'), { signal }),
        coded('blob-layout', /^store p2 in .*: its storage class cannot be told$/),
      );
      await assert.rejects(on.store.upload(blobId('p2'), { signal }), coded('blob-layout', /storage class/));
      assert.ok(!on.stub.objects.has('p2'));
      on.stub.objects.set('p1', Buffer.from('x'));
      assert.equal(Buffer.from(await on.store.get(blobId('p1'), { signal })).toString(), 'x');
    }
  });
});
