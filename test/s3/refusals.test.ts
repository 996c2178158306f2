/** What servers refuse, and why: mended where that is possible, told by name where not. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, test } from 'node:test';
import { BlobError, blobId } from '../../src/blobs/blob-store.ts';
import { RetryStore } from '../../src/blobs/retry.ts';
import { S3Client } from '../../src/blobs/s3/s3-client.ts';
import { type FindKeys, S3Credentials } from '../../src/blobs/s3/s3-credentials.ts';
import type { S3Place } from '../../src/blobs/s3/s3-place.ts';
import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { type Clock, systemClock } from '../../src/std/clock.ts';
import { seededRng } from '../../src/std/rng.ts';
import { whyWithout } from '../peers/peers.ts';
import { type S3Server, startS3Server, testKeys } from '../peers/s3-servers.ts';
import { refuse, startStub, type StubScript, type StubServer } from './stub-server.ts';

const signal = AbortSignal.timeout(120_000);
const id = blobId('p1');
const bytes = Buffer.from('some bytes');
const keys = { accessKeyId: 'a-key', secretAccessKey: 'a-secret' };

function coded(code: BlobError['code'], message = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof BlobError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

interface OnStub extends AsyncDisposable {
  readonly stub: StubServer;
  readonly store: S3Store;
}

async function onStub(script: StubScript, findKeys: FindKeys = async () => keys): Promise<OnStub> {
  const stub = await startStub();
  stub.script = script;
  const store = await S3Store.open(stub.place, { signal, clock: systemClock, findKeys });
  return {
    stub,
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await stub[Symbol.asyncDispose]();
    },
  };
}

const regionOf = (headers: IncomingHttpHeaders): string =>
  /\/([^/]+)\/s3\//.exec(headers.authorization ?? '')?.[1] ?? '';
const keyOf = (headers: IncomingHttpHeaders): string =>
  /Credential=([^/]+)/.exec(headers.authorization ?? '')?.[1] ?? '';

describe('another region', () => {
  test('is learned from the refusal, once for all requests that follow', async () => {
    await using on = await onStub(({ headers }, response) =>
      regionOf(headers) === 'eu-central-1'
        ? 'serve'
        : refuse(response, 400, 'AuthorizationHeaderMalformed', '<Region>eu-central-1</Region>'),
    );
    await on.store.put(id, bytes, { signal });
    assert.deepEqual(await on.store.get(id, { signal }), bytes);
    assert.deepEqual(
      on.stub.requests.map(({ headers }) => regionOf(headers)),
      ['us-east-1', 'eu-central-1', 'eu-central-1'],
    );
  });

  test('is learned from a redirect without a body, as the answer to HEAD is', async () => {
    await using on = await onStub(({ headers }, response) => {
      if (regionOf(headers) === 'eu-central-1') return 'serve';
      response.writeHead(301, { 'x-amz-bucket-region': 'eu-central-1' }).end();
      return 'taken';
    });
    on.stub.objects.set(id, bytes);
    assert.equal((await on.store.stat(id, { signal })).lengthBytes, bytes.length);
  });

  test('that does not help either is told, and never asked for without end', async () => {
    await using on = await onStub(({ nth }, response) =>
      refuse(response, 301, 'PermanentRedirect', `<Region>region-${nth}</Region>`),
    );
    await assert.rejects(on.store.get(id, { signal }), coded('blob-location', /another region, region-2/));
    assert.equal(on.stub.requests.length, 2);
  });

  test('is asked at its own address on AWS, and buckets stand in the host or in the path', async () => {
    const asked: string[] = [];
    const client = (place: Partial<S3Place>): S3Client => {
      const exchange = {
        send: async ({ host, path }: { host: string; path: string }) => {
          asked.push(`${host}${path}`);
          const body = Buffer.from('<Error><Code>PermanentRedirect</Code><Region>cn-north-1</Region></Error>');
          return { status: asked.length % 2 === 1 ? 301 : 200, headers: {}, body };
        },
      };
      const credentials = new S3Credentials({ clock: systemClock, find: async () => keys });
      const base = { kind: 's3', bucket: 'bucket', prefix: '', region: 'eu-west-1', pathStyle: false } as const;
      return new S3Client({ clock: systemClock, exchange, credentials }, { ...base, ...place });
    };
    for (const place of [
      {},
      { pathStyle: true },
      { endpoint: 'https://host:9' },
      { endpoint: 'https://host:9', pathStyle: true },
    ]) {
      await client(place).send({ method: 'GET', key: 'a b/c+d', doing: 'ask' }, { signal });
    }
    assert.deepEqual(asked, [
      'bucket.s3.eu-west-1.amazonaws.com/a%20b/c%2Bd',
      'bucket.s3.cn-north-1.amazonaws.com.cn/a%20b/c%2Bd',
      's3.eu-west-1.amazonaws.com/bucket/a%20b/c%2Bd',
      's3.cn-north-1.amazonaws.com.cn/bucket/a%20b/c%2Bd',
      'bucket.host:9/a%20b/c%2Bd',
      'bucket.host:9/a%20b/c%2Bd',
      'host:9/bucket/a%20b/c%2Bd',
      'host:9/bucket/a%20b/c%2Bd',
    ]);
  });
});

describe('keys', () => {
  /** Keys that are another each time, with so much time left. */
  const rotating = (leftMs: number): FindKeys => {
    let found = 0;
    return async () => {
      found += 1;
      return {
        accessKeyId: `key-${found}`,
        secretAccessKey: 's',
        sessionToken: 't',
        expiration: new Date(Date.now() + leftMs),
      };
    };
  };

  for (const code of ['ExpiredToken', 'InvalidAccessKeyId', 'SignatureDoesNotMatch']) {
    test(`that are refused with ${code} in the middle of a run are replaced, and the request is sent again`, async () => {
      await using on = await onStub(
        ({ headers, nth }, response) => (nth > 1 && keyOf(headers) === 'key-1' ? refuse(response, 403, code) : 'serve'),
        rotating(3_600_000),
      );
      await on.store.put(id, bytes, { signal });
      assert.deepEqual(await on.store.get(id, { signal }), bytes);
      assert.equal(keyOf(on.stub.requests.at(-1)?.headers ?? {}), 'key-2');
      assert.equal(on.stub.requests.at(-1)?.headers['x-amz-security-token'], 't');
    });
  }

  test('that are refused again, or of which there are no others, end with the reason', async () => {
    for (const find of [rotating(3_600_000), async () => keys]) {
      await using on = await onStub((_request, response) => refuse(response, 400, 'ExpiredToken'), find);
      await assert.rejects(on.store.get(id, { signal }), coded('blob-credentials', /session token has expired/));
      assert.ok(on.stub.requests.length <= 2);
    }
  });

  test('that are about to expire are replaced before they are refused, and kept when that fails', async () => {
    await using on = await onStub(() => 'serve', rotating(60_000));
    on.stub.objects.set(id, bytes);
    await on.store.get(id, { signal });
    await on.store.get(id, { signal });
    assert.deepEqual(
      on.stub.requests.map(({ headers }) => keyOf(headers)),
      ['key-1', 'key-2'],
    );

    let asked = 0;
    await using away = await onStub(
      () => 'serve',
      async () => {
        asked += 1;
        if (asked > 1) throw new Error('the service is away');
        return { ...keys, expiration: new Date(Date.now() + 60_000) };
      },
    );
    away.stub.objects.set(id, bytes);
    await away.store.get(id, { signal });
    await away.store.get(id, { signal });
    assert.equal(asked, 2);
  });

  test('that cannot be found are told as such, and whoever gives up does not wait for them', async () => {
    await using none = await onStub(
      () => 'serve',
      async () => await Promise.reject(new Error('nowhere')),
    );
    await assert.rejects(none.store.get(id, { signal }), coded('blob-credentials', /no keys/));
    await using slow = await onStub(
      () => 'serve',
      async () => await new Promise(() => {}),
    );
    const stop = new AbortController();
    const waiting = slow.store.get(id, { signal: stop.signal });
    const reason = new Error('given up');
    stop.abort(reason);
    await assert.rejects(waiting, (error) => error === reason);
  });

  test('never stand in what is told of a failure', async () => {
    await using on = await onStub((_request, response) => refuse(response, 403, 'SignatureDoesNotMatch'));
    await assert.rejects(on.store.get(id, { signal }), (error) => {
      assert.ok(error instanceof Error);
      return !`${error.stack} ${String(error.cause)} ${JSON.stringify(error)}`.includes('a-secret');
    });
  });
});

describe('refusals', () => {
  for (const [status, s3Code, code] of [
    [403, 'AccessDenied', 'blob-denied'],
    [403, 'InvalidObjectState', 'blob-denied'],
    [400, 'SomethingNew', 'blob-denied'],
    [404, 'NoSuchBucket', 'blob-store-missing'],
    [404, 'XAdminUserNotFound', 'blob-credentials'],
    [404, 'SomethingNew', 'blob-unavailable'],
    [507, 'XMinioStorageFull', 'blob-no-space'],
    [400, 'QuotaExceeded', 'blob-no-space'],
    [507, 'SomethingNew', 'blob-no-space'],
    [503, 'SlowDown', 'blob-unavailable'],
    [500, 'InternalError', 'blob-unavailable'],
    [503, 'SomethingNew', 'blob-unavailable'],
    [429, 'TooManyRequests', 'blob-unavailable'],
    [400, 'RequestTimeout', 'blob-unavailable'],
    [400, 'BadDigest', 'blob-unavailable'],
    [409, 'ConditionalRequestConflict', 'blob-unavailable'],
    [412, 'PreconditionFailed', 'blob-exists'],
  ] as const) {
    test(`${status} ${s3Code} is ${code}`, async () => {
      await using on = await onStub((_request, response) => refuse(response, status, s3Code));
      await assert.rejects(on.store.put(id, bytes, { signal }), coded(code, /store p1 in s3:\/\/bucket\//));
      assert.ok(on.stub.requests.every(({ method }) => method === 'PUT') || code === 'blob-unavailable');
    });
  }

  test('of a full disk that MinIO calls an internal error are told as what they are', async () => {
    const message = '<Message>We encountered an internal error: cause(no space left on device)</Message>';
    await using on = await onStub((_request, response) => refuse(response, 500, 'InternalError', message));
    await assert.rejects(on.store.put(id, bytes, { signal }), coded('blob-no-space', /full/));
  });

  for (const [s3Code, message, code] of [
    ['AccessDenied', 'Access Denied because object protected by object lock.', 'blob-locked'],
    ['InvalidRequest', 'Object is WORM protected and cannot be overwritten', 'blob-locked'],
    ['InvalidRequest', 'Bucket is missing Object Lock Configuration', 'blob-no-lock'],
    ['ObjectLockConfigurationNotFoundError', 'none', 'blob-no-lock'],
  ] as const) {
    test(`of a lock, "${message}", are told as what they are, and asked once`, async () => {
      const said = `<Message>${message}</Message>`;
      await using on = await onStub((_request, response) => refuse(response, 400, s3Code, said));
      const options = { attemptsMax: 5, firstPauseMs: 1, pauseMsMax: 1, budgetMs: 60_000 };
      const retried = new RetryStore({ store: on.store, clock: systemClock, rng: seededRng(1) }, options);
      await assert.rejects(retried.remove(id, { signal }), coded(code));
      assert.equal(on.stub.requests.length, 1);
    });
  }

  test('a put that is to be locked says so, with the checksums that servers want with it', async () => {
    await using on = await onStub(() => 'serve');
    const retention = { mode: 'COMPLIANCE', periodMs: 86_400_000 };
    const before = systemClock.nowMs();
    await on.store.put(id, bytes, { retention, signal });
    const { headers } = on.stub.requests[0]!;
    const until = Date.parse(String(headers['x-amz-object-lock-retain-until-date']));
    assert.equal(headers['x-amz-object-lock-mode'], 'COMPLIANCE');
    assert.ok(until >= before + retention.periodMs && until <= systemClock.nowMs() + retention.periodMs + 1000);
    assert.equal(headers['content-md5'], createHash('md5').update(bytes).digest('base64'));
    assert.ok(headers['x-amz-checksum-crc32']);
    assert.match(
      headers.authorization ?? '',
      /content-md5;.*x-amz-object-lock-mode;x-amz-object-lock-retain-until-date/,
    );
    await on.store.put(id, bytes, { signal });
    assert.equal(on.stub.requests[1]!.headers['x-amz-object-lock-mode'], undefined);
  });

  test('never make a blob missing, unless the server says that this very key is', async () => {
    await using on = await onStub((_request, response) => {
      response.writeHead(404).end();
      return 'taken';
    });
    await assert.rejects(on.store.get(id, { signal }), coded('blob-unavailable'));
    await assert.rejects(on.store.stat(id, { signal }), coded('blob-unavailable'));
  });

  test('of a look at a blob are explained by a second question', async () => {
    await using on = await onStub(({ method }, response) => {
      if (method === 'HEAD') {
        response.writeHead(404).end();
        return 'taken';
      }
      return refuse(response, 404, 'NoSuchBucket');
    });
    await assert.rejects(on.store.stat(id, { signal }), coded('blob-store-missing'));
  });
});

for (const name of ['versitygw', 'minio'] as const) {
  const skip = (await whyWithout(name)) ?? false;
  describe(`what ${name} itself says`, { skip }, () => {
    const ahead: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + 20 * 60_000 };

    test('of a wrong region, a wrong key, a wrong secret, a wrong clock and no bucket', async () => {
      await using server: S3Server = await startS3Server(name, { region: 'eu-central-1' });
      await server.makeBucket('bucket');
      const place = server.place('bucket');
      const open = async (change: {
        place?: S3Place;
        clock?: Clock;
        keys?: Partial<typeof keys>;
      }): Promise<S3Store> => {
        const findKeys: FindKeys = async () => ({ ...testKeys, ...change.keys });
        return await S3Store.open(change.place ?? place, { signal, clock: change.clock ?? systemClock, findKeys });
      };
      await using elsewhere = await open({ place: { ...place, region: 'us-west-2' } });
      await elsewhere.put(id, bytes, { signal });
      assert.deepEqual(await elsewhere.get(id, { signal }), bytes);

      const refused = async (store: S3Store, code: BlobError['code'], message: RegExp): Promise<void> => {
        await using _store = store;
        await assert.rejects(store.get(id, { signal }), coded(code, message));
        await assert.rejects(store.stat(id, { signal }), coded(code, message));
        await assert.rejects(store.put(id, bytes, { signal }), coded(code, message));
        await assert.rejects(store.remove(id, { signal }), coded(code, message));
        await assert.rejects(Array.fromAsync(store.list('', { signal })), coded(code, message));
      };
      await refused(await open({ keys: { accessKeyId: 'nobody' } }), 'blob-credentials', /access key/);
      await refused(await open({ keys: { secretAccessKey: 'wrong' } }), 'blob-credentials', /access key/);
      await refused(await open({ clock: ahead }), 'blob-clock', /here it is \d.*Z, there \d.*Z \((19|20) minutes\)/);
      await refused(await open({ place: server.place('nowhere') }), 'blob-store-missing', /bucket does not exist/);
    });
  });
}
