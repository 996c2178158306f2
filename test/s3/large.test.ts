/** Blobs that do not fit into one request, and bodies that the server does not wait for. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { BlobError, blobId } from '../../src/blobs/blob-store.ts';
import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { parseXml } from '../../src/blobs/s3/s3-xml.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { whyWithout } from '../peers/peers.ts';
import { bareClient, type S3Server, startS3Server, testKeys } from '../peers/s3-servers.ts';
import { lastModified, refuse, startStub, type StubScript } from './stub-server.ts';

const signal = AbortSignal.timeout(300_000);
const id = blobId('p1');
const mib = 1024 * 1024;
const findKeys = async (): Promise<typeof testKeys> => testKeys;

function coded(code: BlobError['code']): (error: unknown) => boolean {
  return (error) => error instanceof BlobError && error.code === code;
}

/** Pieces of one buffer, which is filled anew for each, as a pack writer does. */
function* pieces(totalBytes: number): Generator<Uint8Array> {
  const piece = Buffer.alloc(4 * mib);
  for (let at = 0; at < totalBytes; at += piece.length) {
    piece.fill(at / piece.length);
    yield piece.subarray(0, Math.min(piece.length, totalBytes - at));
  }
}

async function unfinished(server: S3Server): Promise<number> {
  await using bare = await bareClient(server.place('bucket'));
  const { body } = await bare.client.send({ method: 'GET', query: { uploads: '' }, doing: 'list uploads' }, { signal });
  return parseXml(body).children.filter(({ name }) => name === 'Upload').length;
}

for (const name of ['versitygw', 'minio'] as const) {
  const skip = (await whyWithout(name)) ?? false;
  describe(name, { skip }, () => {
    test('takes a blob beyond 100 MiB in parts, and keeps nothing of one that was dropped', async () => {
      await using server = await startS3Server(name);
      await server.makeBucket('bucket');
      await using store = await S3Store.open(server.place('bucket'), { signal, clock, findKeys });
      const totalBytes = 141 * mib + 777;
      {
        await using dropped = await store.upload(id, { signal });
        for (const piece of pieces(totalBytes)) await dropped.write(piece);
        if (name === 'versitygw') assert.equal(await unfinished(server), 1);
      }
      assert.equal(await unfinished(server), 0);

      const written = createHash('sha256');
      await using upload = await store.upload(id, { signal });
      for (const piece of pieces(totalBytes)) {
        written.update(piece);
        await upload.write(piece);
      }
      assert.deepEqual(await Array.fromAsync(store.list('', { signal })), []);
      const metadata = await upload.commit();
      assert.deepEqual(await upload.commit(), metadata);
      assert.deepEqual(await store.stat(id, { signal }), metadata);
      assert.equal(metadata.lengthBytes, totalBytes);
      const read = createHash('sha256').update(await store.get(id, { signal }));
      assert.equal(read.digest('hex'), written.digest('hex'));
      assert.equal(await unfinished(server), 0);
    });

    test('refuses a pack before it has arrived, and the reason arrives all the same', async () => {
      for (const tls of [true, false]) {
        await using server = await startS3Server(name, { tls });
        await server.makeBucket('bucket');
        const wrong = { ...testKeys, secretAccessKey: 'wrong' };
        await using store = await S3Store.open(server.place('bucket'), { signal, clock, findKeys: async () => wrong });
        const pack = Buffer.alloc(24 * mib, 'pack');
        for (let attempt = 0; attempt < 5; attempt += 1) {
          await assert.rejects(store.put(id, pack, { signal }), coded('blob-credentials'));
        }
      }
    });
  });
}

describe('an upload in parts', () => {
  /** Serves one, and leaves its completion to `complete`. */
  const inParts = (complete: (etag: string) => StubScript): StubScript => {
    const md5s: Buffer[] = [];
    return (request, response) => {
      const { method, query, body } = request;
      if (method === 'POST' && query.has('uploads')) {
        response.end('<InitiateMultipartUploadResult><UploadId>u&amp;1</UploadId></InitiateMultipartUploadResult>');
      } else if (method === 'PUT' && query.get('uploadId') === 'u&1') {
        const md5 = createHash('md5').update(body).digest();
        assert.equal(request.headers['content-md5'], md5.toString('base64'));
        md5s.push(md5);
        response.writeHead(200, { etag: `"${md5.toString('hex')}"` }).end();
      } else {
        const whole = createHash('md5').update(Buffer.concat(md5s)).digest('hex');
        return complete(`"${whole}-${md5s.length}"`)(request, response);
      }
      return 'taken';
    };
  };

  const totalBytes = 101 * mib;

  async function upload(script: StubScript): Promise<number> {
    await using stub = await startStub();
    stub.script = script;
    await using store = await S3Store.open(stub.place, { signal, clock, findKeys });
    await using upload = await store.upload(id, { signal });
    for (const piece of pieces(totalBytes)) await upload.write(piece);
    return (await upload.commit()).lengthBytes;
  }

  test('whose completion was done and not answered is found complete', async () => {
    const lengthBytes = await upload(
      inParts((etag) => (request, response) => {
        if (request.method === 'POST') response.destroy();
        else response.writeHead(200, { etag, 'content-length': totalBytes, 'last-modified': lastModified }).end();
        return 'taken';
      }),
    );
    assert.equal(lengthBytes, totalBytes);
  });

  test('whose completion says success and tells of a failure is not complete, nor is another object of its length', async () => {
    let aborted = false;
    const other = { etag: '"0123-4"', 'content-length': totalBytes, 'last-modified': lastModified };
    await assert.rejects(
      upload(
        inParts(() => (request, response) => {
          if (request.method === 'POST') response.end('<Error><Code>InternalError</Code></Error>');
          else if (request.method === 'HEAD') response.writeHead(200, other).end();
          else {
            aborted = request.method === 'DELETE' && request.query.get('uploadId') === 'u&1';
            response.writeHead(204).end();
          }
          return 'taken';
        }),
      ),
      coded('blob-unavailable'),
    );
    assert.ok(aborted);
  });

  test('of which a part is refused has appended nothing, and the same piece may be written again', async () => {
    let refused = 0;
    await using stub = await startStub();
    const parts = inParts((etag) => (request, response) => {
      const head = { etag, 'content-length': totalBytes, 'last-modified': lastModified };
      if (request.method === 'POST') response.end('<CompleteMultipartUploadResult/>');
      else response.writeHead(200, head).end();
      return 'taken';
    });
    let sentBytes = 0;
    stub.script = (request, response) => {
      if (request.method === 'PUT' && refused++ % 2 === 0) return refuse(response, 503, 'SlowDown');
      if (request.method === 'PUT') sentBytes += request.body.length;
      return parts(request, response);
    };
    await using store = await S3Store.open(stub.place, { signal, clock, findKeys });
    await using target = await store.upload(id, { signal });
    const again = async (work: () => Promise<unknown>): Promise<void> => {
      while (
        !(await work().then(
          () => true,
          (error: unknown) => !coded('blob-unavailable')(error),
        ))
      );
    };
    for (const piece of pieces(totalBytes)) await again(async () => await target.write(piece));
    await again(async () => await target.commit());
    assert.equal(sentBytes, totalBytes);
  });
});
