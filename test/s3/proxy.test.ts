/** A proxy between this program and the store: used where it is named, and blamed when it is at fault. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { BlobError, blobId } from '../../src/blobs/blob-store.ts';
import type { ProxyVariables } from '../../src/blobs/s3/proxy.ts';
import type { S3Place } from '../../src/blobs/s3/s3-place.ts';
import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { seededRng } from '../../src/std/rng.ts';
import { whyWithout } from '../peers/peers.ts';
import { authorityFile, startS3Server, testKeys } from '../peers/s3-servers.ts';
import { startProxy } from './proxy-server.ts';
import { startStub } from './stub-server.ts';
import { listenHere } from '../support/listen-here.ts';

const skip = await whyWithout('minio');
const signal = AbortSignal.timeout(120_000);
const id = blobId('p1');
const bytes = Buffer.from(seededRng(1).bytes(3_000_000));

async function open(place: S3Place, proxies: ProxyVariables): Promise<S3Store> {
  return await S3Store.open(place, { signal, clock, findKeys: async () => testKeys, proxies });
}

/** The same server by a name that only the proxy knows; this machine itself is never reached through one. */
function byName(place: S3Place): S3Place {
  return { ...place, endpoint: place.endpoint?.replace('127.0.0.1', 's3.dray.test') };
}

async function failure(asking: Promise<unknown>): Promise<BlobError> {
  const error: unknown = await asking.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof BlobError, String(error));
  return error;
}

describe('a server with TLS', { skip }, () => {
  for (const tls of [false, true]) {
    test(`is reached through a proxy ${tls ? 'with TLS of its own' : 'without TLS'}, which sees its name alone`, async () => {
      const before = getCACertificates();
      setDefaultCACertificates([...before, readFileSync(authorityFile, 'latin1')]);
      try {
        await using server = await startS3Server('minio');
        await server.makeBucket('data');
        await using proxy = await startProxy({ tls, credentials: 'me:se@cret' });
        const place = byName(server.place('data'));
        await using store = await open(place, { HTTPS_PROXY: proxy.url.replace('://', '://me:se%40cret@') });
        await store.put(id, bytes, { signal });
        const range = { offset: 1_000_000, lengthBytes: 500_000 };
        assert.deepEqual(await store.get(id, { range, signal }), bytes.subarray(1_000_000, 1_500_000));
        await Promise.all([1, 2, 3].map(async () => assert.deepEqual(await store.get(id, { signal }), bytes)));
        assert.deepEqual(new Set(proxy.asked), new Set([`CONNECT ${new URL(place.endpoint!).host}`]));
        assert.ok(proxy.asked.length <= 3, 'connections are kept');
      } finally {
        setDefaultCACertificates(before);
      }
    });
  }

  test('is reached without the proxy where NO_PROXY says so', async () => {
    await using server = await startS3Server('minio');
    await server.makeBucket('data');
    await using proxy = await startProxy();
    const variables = { https_proxy: proxy.url, NO_PROXY: 'dray.test' };
    // Only the proxy would know the name.
    await using named = await open(byName(server.place('data')), variables);
    assert.equal((await failure(named.put(id, bytes, { signal }))).code, 'blob-unavailable');
    await using local = await open(server.place('data'), variables);
    await local.put(id, bytes, { signal });
    assert.deepEqual(proxy.asked, []);
  });

  test('that is not trusted is told from a proxy that may stand in for it', async () => {
    await using server = await startS3Server('minio');
    await using proxy = await startProxy();
    await using store = await open({ ...byName(server.place('data')), caFile: undefined }, { HTTPS_PROXY: proxy.url });
    const { code, message } = await failure(store.get(id, { signal }));
    assert.equal(code, 'blob-tls');
    assert.ok(message.includes(`the proxy ${proxy.url} (HTTPS_PROXY) may show a certificate of its own`), message);
  });
});

describe('a server without TLS', () => {
  test('is asked by a proxy that gets the whole request, and whose password goes no further', async () => {
    await using stub = await startStub();
    await using proxy = await startProxy({ credentials: 'me:secret' });
    const place = byName(stub.place);
    await using store = await open(place, { HTTP_PROXY: proxy.url.replace('://', '://me:secret@') });
    await store.put(id, bytes, { signal });
    assert.deepEqual(await store.get(id, { signal }), bytes);
    const asked = proxy.asked.filter((line) => !line.endsWith('.storageconfig'));
    assert.deepEqual(asked, [`PUT ${place.endpoint}/bucket/p1`, `GET ${place.endpoint}/bucket/p1`]);
    assert.equal(proxy.passedOn[0]?.host, new URL(place.endpoint!).host);
  });

  test('is behind a proxy that refuses, and that is said', async () => {
    await using stub = await startStub();
    for (const [status, said] of [
      [407, /asks for a user and a password/],
      [403, /refuses the way to s3\.dray\.test:\d+ \(status 403\)/],
    ] as const) {
      await using proxy = await startProxy({ status });
      await using store = await open(byName(stub.place), { HTTP_PROXY: proxy.url });
      const { code, message } = await failure(store.put(id, bytes, { signal }));
      assert.equal(code, 'blob-proxy');
      assert.match(message, said);
      assert.match(message, /^store p1 in s3:\/\/bucket\/.*: the proxy http:\/\/127\.0\.0\.1:\d+ \(HTTP_PROXY\)/);
    }
  });
});

describe('a proxy', () => {
  const place: S3Place = { kind: 's3', bucket: 'b', prefix: '', region: 'us-east-1', pathStyle: true };

  for (const [status, code, said] of [
    [407, 'blob-proxy', /\(HTTPS_PROXY\) does not accept its password$/],
    [403, 'blob-proxy', /refuses the way to s3\.us-east-1\.amazonaws\.com:443 \(status 403\)$/],
    [502, 'blob-unavailable', /finds no way to s3\.us-east-1\.amazonaws\.com:443 \(status 502\)$/],
  ] as const) {
    test(`that answers ${status} is ${code}, without its password`, async () => {
      await using proxy = await startProxy({ status });
      await using store = await open(place, { HTTPS_PROXY: proxy.url.replace('://', '://me:secret@') });
      const error = await failure(store.get(id, { signal }));
      assert.equal(error.code, code);
      assert.match(error.message, said);
      assert.ok(!`${error.stack} ${String(error.cause)}`.includes('secret'));
    });
  }

  test('that nobody answers for is named with the variable that names it', async () => {
    await using store = await open(place, { HTTPS_PROXY: 'http://127.0.0.1:1' });
    const { code, message, cause } = await failure(store.get(id, { signal }));
    assert.equal(code, 'blob-unavailable');
    assert.match(message, /the connection to the proxy http:\/\/127\.0\.0\.1:1 \(HTTPS_PROXY\) failed$/);
    assert.match(String(cause), /ECONNREFUSED/);
  });

  for (const [what, words] of [
    ['closes without a word', ''],
    ['is something else', 'SSH-2.0-OpenSSH_9.9\r\n\r\n\r\n'],
  ] as const) {
    test(`that ${what} is no answer`, async () => {
      const server = createServer((socket) => void socket.end(words));
      const port = await listenHere(server);
      try {
        await using store = await open(place, { HTTPS_PROXY: `127.0.0.1:${port}` });
        const { code, message } = await failure(store.get(id, { signal }));
        assert.equal(code, 'blob-unavailable');
        assert.match(message, /the connection to the proxy .* failed$/);
      } finally {
        server.close();
      }
    });
  }

  test('that stays silent is given up', async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => void sockets.push(socket));
    const port = await listenHere(server);
    const impatient = { ...clock, sleep: async () => {} };
    const proxies = { HTTPS_PROXY: `127.0.0.1:${port}` };
    await using store = await S3Store.open(place, {
      signal,
      clock: impatient,
      findKeys: async () => testKeys,
      proxies,
    });
    try {
      assert.match((await failure(store.get(id, { signal }))).message, /the connection to the proxy .* failed$/);
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });

  test('that stays silent is left when the request is aborted, or the store closed', async () => {
    const accepted: (() => void)[] = [];
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      accepted.shift()?.();
    });
    const port = await listenHere(server);
    try {
      const store = await open(place, { HTTPS_PROXY: `127.0.0.1:${port}` });
      const { promise: first, resolve: onFirst } = Promise.withResolvers<void>();
      const { promise: second, resolve: onSecond } = Promise.withResolvers<void>();
      accepted.push(onFirst, onSecond);
      const aborting = new AbortController();
      const aborted = assert.rejects(store.get(id, { signal: aborting.signal }), /enough/);
      await first;
      aborting.abort(new Error('enough'));
      await aborted;
      const closed = failure(store.get(id, { signal }));
      await second;
      await store[Symbol.asyncDispose]();
      assert.match((await closed).message, /the store was closed/);
    } finally {
      server.close();
    }
  });
});
