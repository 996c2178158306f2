/** What goes wrong on the way to a bucket and back: everything ends in equal bytes or in an error with the right code. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import { BlobError, blobId } from '../../src/blobs/blob-store.ts';
import { seededRng } from '../../src/std/rng.ts';
import { faulty } from './faulty-store.ts';
import { refuse, type StubRequest, type StubScript, type StubServer } from './stub-server.ts';

const signal = AbortSignal.timeout(120_000);
const id = blobId('p1');
const bytes = Buffer.from(seededRng(1).bytes(100_000));
const range = { offset: 1000, lengthBytes: 50_000 };

function coded(code: BlobError['code'], message = /./): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof BlobError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

/** The first requests go wrong in this way, those after them do not. */
function first(count: number, spoil: (request: StubRequest, response: ServerResponse) => void): StubScript {
  return (request, response) => {
    if (request.nth > count) return 'serve';
    spoil(request, response);
    return 'taken';
  };
}

function cut(response: ServerResponse, afterBytes: number): void {
  const head = { etag: '"e"', 'content-length': range.lengthBytes, 'content-range': 'bytes 1000-50999/100000' };
  response.writeHead(206, head);
  if (afterBytes === 0) response.flushHeaders();
  else response.write(bytes.subarray(range.offset, range.offset + afterBytes));
  // Only what has left counts as a cut in the middle.
  response.socket?.end();
}

function html(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-type': 'text/html' }).end('<html><body>Please <b>log in<br></html>');
}

describe('reading', () => {
  for (const afterBytes of [0, 1, 20_000, range.lengthBytes - 1]) {
    test(`an answer that ends after ${afterBytes} bytes is no answer, and the next attempt reads all of it`, async () => {
      await using f = await faulty(first(2, (_request, response) => cut(response, afterBytes)));
      f.stub.objects.set(id, bytes);
      await assert.rejects(
        f.bare.get(id, { range, signal }),
        coded('blob-unavailable', /get 50000 bytes at 1000 of p1/),
      );
      assert.deepEqual(await f.retried.get(id, { range, signal }), bytes.subarray(1000, 51_000));
    });
  }

  for (const [what, status, headers] of [
    ['the whole blob', 200, { 'content-length': 100_000 }],
    ['another range', 206, { 'content-length': 50_000, 'content-range': 'bytes 1001-51000/100000' }],
    ['less of it', 206, { 'content-length': 49_999, 'content-range': 'bytes 1000-50998/100000' }],
    ['a length that is not the range', 206, { 'content-length': 50_001, 'content-range': 'bytes 1000-50999/100000' }],
    ['the range, as if it were all,', 200, { 'content-length': 50_000, 'content-range': 'bytes 1000-50999/100000' }],
    ['a range that is none', 206, { 'content-length': 50_000, 'content-range': 'bytes */100000' }],
  ] as const) {
    test(`${what} instead of the range that was asked for is not taken for it`, async () => {
      await using f = await faulty(
        first(2, (_request, response) => {
          const length = headers['content-length'];
          response.writeHead(status, { etag: '"e"', ...headers }).end(Buffer.alloc(length, 0xee));
        }),
      );
      f.stub.objects.set(id, bytes);
      const into = new Uint8Array(60_000).fill(1);
      await assert.rejects(f.bare.get(id, { range, into, signal }), coded('blob-unavailable', /another part/));
      assert.ok(into.every((byte) => byte === 1));
      assert.deepEqual(Buffer.from(await f.retried.get(id, { range, into, signal })), bytes.subarray(1000, 51_000));
    });
  }

  test('a length beyond all blobs is refused before memory is taken for it', async () => {
    await using f = await faulty((_request, response) => {
      response.writeHead(200, { etag: '"e"', 'content-length': 2 ** 45 }).flushHeaders();
      return 'taken';
    });
    await assert.rejects(f.bare.get(id, { signal }), coded('blob-range'));
  });

  test('fewer bytes than the range, without a length, are no answer', async () => {
    await using f = await faulty((_request, response) => {
      response.writeHead(206, { etag: '"e"', 'content-range': 'bytes 1000-50999/100000' });
      response.end(Buffer.alloc(49_999));
      return 'taken';
    });
    await assert.rejects(f.bare.get(id, { range, signal }), coded('blob-unavailable', /49999 of 50000/));
  });

  test('more bytes than announced, without a length, end the request', async () => {
    await using f = await faulty((_request, response) => {
      response.writeHead(206, { etag: '"e"', 'content-range': 'bytes 1000-50999/100000' });
      response.end(Buffer.alloc(50_001));
      return 'taken';
    });
    await assert.rejects(f.bare.get(id, { range, signal }), coded('blob-unavailable', /longer/));
  });

  test('a storm of 503 passes', async () => {
    await using f = await faulty(first(7, (_request, response) => void refuse(response, 503, 'SlowDown')));
    f.stub.objects.set(id, bytes);
    assert.deepEqual(await f.retried.get(id, { signal }), bytes);
    assert.equal(f.stub.requests.length, 8);
  });

  test('a head that never comes, and a body that drips, end at the deadline', async () => {
    for (const spoil of [
      (): void => {},
      (_request: StubRequest, response: ServerResponse): void => {
        response.writeHead(206, { etag: '"e"', 'content-range': 'bytes 1000-50999/100000' }).write('x');
      },
    ]) {
      await using f = await faulty();
      const asked = Promise.withResolvers<void>();
      f.stub.script = (request, response) => {
        if (request.nth > 1) return 'serve';
        spoil(request, response);
        asked.resolve();
        return 'taken';
      };
      f.stub.objects.set(id, bytes);
      const got = f.retried.get(id, { range, signal });
      await asked.promise;
      // The head of an answer counts as movement for the first deadline only.
      while (f.stub.requests.length < 2) {
        f.clock.passDeadline();
        await new Promise(setImmediate);
      }
      assert.deepEqual(await got, bytes.subarray(1000, 51_000));
    }
  });

  test('who gives up gets the reason at once, and the buffer is not touched any more', async () => {
    await using f = await faulty();
    const asked = Promise.withResolvers<ServerResponse>();
    f.stub.script = (_request, response) => {
      response.writeHead(206, { etag: '"e"', 'content-range': 'bytes 1000-50999/100000' });
      response.flushHeaders();
      asked.resolve(response);
      return 'taken';
    };
    const stop = new AbortController();
    const into = new Uint8Array(50_000);
    const got = f.bare.get(id, { range, into, signal: stop.signal });
    const response = await asked.promise;
    const reason = new Error('given up');
    stop.abort(reason);
    await assert.rejects(got, (error) => error === reason);
    const closed = new Promise((resolve) => response.once('close', resolve));
    response.write(Buffer.alloc(50_000, 0xee));
    await closed;
    assert.ok(into.every((byte) => byte === 0));
  });
});

describe('writing', () => {
  /** The object is stored, and the answer gets lost. */
  const lost =
    (stub: () => StubServer, count: number): StubScript =>
    (request, response) => {
      if (request.method !== 'PUT' || stub().requests.filter(({ method }) => method === 'PUT').length > count)
        return 'serve';
      stub().objects.set(request.key, request.body);
      response.destroy();
      return 'taken';
    };

  for (const ifAbsent of [false, true]) {
    test(`a put whose answer gets lost is looked for, and not repeated when it is there (${ifAbsent ? 'conditional' : 'plain'})`, async () => {
      await using f = await faulty();
      f.stub.script = lost(() => f.stub, 1);
      await f.bare.put(id, bytes, { ifAbsent, signal });
      assert.ok(bytes.equals(Buffer.from(await f.bare.get(id, { signal }))));
      assert.equal(f.stub.requests.filter(({ method }) => method === 'PUT').length, 1);
    });
  }

  test('a put that was cut before it was stored is not taken for done, whatever is there under its name', async () => {
    await using f = await faulty((request, response) => {
      if (request.method !== 'PUT' || request.nth > 1) return 'serve';
      response.destroy();
      return 'taken';
    });
    f.stub.objects.set(id, Buffer.alloc(bytes.length));
    await assert.rejects(f.bare.put(id, bytes, { signal }), coded('blob-unavailable', /store p1/));
    await f.retried.put(id, bytes, { signal });
    assert.deepEqual(f.stub.objects.get(id), bytes);
  });

  test('of a conditional put that was lost, the same bytes are its own success and others are not', async () => {
    await using f = await faulty(first(1, (_request, response) => response.destroy()));
    f.stub.objects.set(id, Buffer.from('of somebody else'));
    await assert.rejects(f.retried.put(id, bytes, { ifAbsent: true, signal }), coded('blob-exists'));
    assert.equal(f.stub.objects.get(id)?.toString(), 'of somebody else');
  });

  test('an upload is repeated whole from what it holds', async () => {
    await using f = await faulty(first(3, (_request, response) => void refuse(response, 503, 'SlowDown')));
    await using upload = await f.retried.upload(id, { signal });
    const piece = Buffer.alloc(40_000);
    for (const part of [0, 40_000, 80_000]) {
      // The buffer is the caller's again after each write.
      bytes.copy(piece, 0, part);
      await upload.write(piece.subarray(0, Math.min(40_000, bytes.length - part)));
    }
    piece.fill(0);
    await upload.commit();
    assert.deepEqual(f.stub.objects.get(id), bytes);
  });

  test('a server without conditional puts is asked first, and told without the condition', async () => {
    await using f = await faulty((request, response) =>
      request.headers['if-none-match'] === undefined ? 'serve' : refuse(response, 501, 'NotImplemented'),
    );
    await f.bare.put(id, bytes, { ifAbsent: true, signal });
    await assert.rejects(f.bare.put(id, Buffer.from('other'), { ifAbsent: true, signal }), coded('blob-exists'));
    assert.deepEqual(f.stub.objects.get(id), bytes);
    assert.equal(f.stub.requests.filter(({ headers }) => headers['if-none-match'] !== undefined).length, 1);
  });

  test('the bytes carry their checksum', async () => {
    await using f = await faulty();
    await f.bare.put(id, Buffer.from('123456789'), { signal });
    // The check value of CRC-32.
    const expected = Buffer.from('cbf43926', 'hex').toString('base64');
    assert.equal(f.stub.requests[0]?.headers['x-amz-checksum-crc32'], expected);
  });
});

describe('what is not S3', () => {
  test('a page of a proxy is taken for no answer to anything', async () => {
    for (const status of [200, 403, 407, 502]) {
      await using f = await faulty((_request, response) => {
        html(response, status);
        return 'taken';
      });
      const proxy = coded('blob-unavailable', /proxy|no page of a listing/);
      await assert.rejects(f.bare.get(id, { signal }), proxy);
      await assert.rejects(f.bare.get(id, { range, signal }), coded('blob-unavailable', /proxy/));
      await assert.rejects(f.bare.put(id, bytes, { signal }), proxy);
      await assert.rejects(f.bare.remove(id, { signal }), proxy);
      await assert.rejects(
        f.bare.stat(id, { signal }),
        coded(status === 403 ? 'blob-unavailable' : status === 407 ? 'blob-denied' : 'blob-unavailable'),
      );
      await assert.rejects(Array.fromAsync(f.bare.list('', { signal })), proxy);
    }
  });

  for (const [what, body] of [
    ['says that there is more but not where', '<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>'],
    [
      'has no end',
      '<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>same</NextContinuationToken></ListBucketResult>',
    ],
    [
      'names what was not asked for',
      '<ListBucketResult><Contents><Key>other</Key><Size>1</Size></Contents></ListBucketResult>',
    ],
    [
      'lacks a length',
      '<ListBucketResult><Contents><Key>p1</Key><LastModified>2031-01-14T03:04:05Z</LastModified></Contents></ListBucketResult>',
    ],
    ['is cut short', '<ListBucketResult><Contents><Key>p1</Key>'],
    ['is nested without end', '<a>'.repeat(1000)],
    ['defines entities', '<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult>&a;</ListBucketResult>'],
    ['is longer than any page', `<ListBucketResult>${' '.repeat(9_000_000)}</ListBucketResult>`],
    ['is empty', ''],
  ]) {
    test(`a listing that ${what} is an error, and no short list`, async () => {
      await using f = await faulty((_request, response) => {
        response.end(body);
        return 'taken';
      });
      await assert.rejects(Array.fromAsync(f.bare.list('p', { signal })), coded('blob-unavailable'));
    });
  }

  test('a listing goes on where it broke off, with each blob once, without what is no blob', async () => {
    await using f = await faulty((request, response) =>
      request.nth % 2 === 0 ? refuse(response, 503, 'SlowDown') : 'serve',
    );
    for (const name of ['p1', 'p2', 'p3', 'p4', 'p5', 'p~6', '.storageconfig']) f.stub.objects.set(name, bytes);
    const listed = await Array.fromAsync(f.retried.list('', { signal }));
    assert.deepEqual(listed.map((blob) => String(blob.id)).toSorted(), ['p1', 'p2', 'p3', 'p4', 'p5']);
    assert.deepEqual(listed[0], await f.retried.stat(blobId('p1'), { signal }));
    // Seven names in pages of two: each page once, and a refusal before each but the first.
    assert.equal(f.stub.requests.filter(({ method }) => method === 'GET').length, 7);
  });
});

test('whatever goes wrong at random, operations end in the right bytes or in a typed error', async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const rng = seededRng(seed);
    await using f = await faulty((request, response) => {
      const chance = rng.uniform();
      if (chance < 0.08) refuse(response, 503, 'SlowDown');
      else if (chance < 0.16) response.destroy();
      else if (chance < 0.24) html(response, rng.uniform() < 0.5 ? 200 : 502);
      else if (chance < 0.32) cut(response, Math.floor(rng.uniform() * 50_000));
      else if (chance < 0.4) {
        // Done, and the answer lost.
        f.stub.serve(request, Object.assign(response, { end: () => response.destroy() }));
      } else return 'serve';
      return 'taken';
    });
    const expected = new Map<string, Buffer>();
    for (let step = 0; step < 60; step += 1) {
      const name = blobId(`p${Math.floor(rng.uniform() * 4)}`);
      const content = Buffer.from(rng.bytes(1000 + Math.floor(rng.uniform() * 3000)));
      const choice = Math.floor(rng.uniform() * 4);
      try {
        if (choice === 0) {
          await f.retried.put(name, content, { signal });
          expected.set(name, content);
        } else if (choice === 1) {
          await f.retried.remove(name, { signal });
          expected.delete(name);
        } else if (choice === 2) {
          assert.deepEqual(await f.retried.get(name, { signal }), expected.get(name), `seed ${seed}`);
        } else {
          const names = (await Array.fromAsync(f.retried.list('', { signal }))).map((blob) => String(blob.id));
          assert.deepEqual(names.toSorted(), [...expected.keys()].toSorted(), `seed ${seed}`);
        }
      } catch (error) {
        if (error instanceof BlobError && error.code === 'blob-not-found') {
          assert.equal(expected.has(name), false, `seed ${seed}: ${name} is there`);
        } else {
          assert.ok(error instanceof BlobError && error.code === 'blob-unavailable', String(error));
        }
        if (choice < 2) {
          // What a failed change has left is unknown; the next steps begin from what is there.
          const there = f.stub.objects.get(name);
          if (there === undefined) expected.delete(name);
          else expected.set(name, there);
        }
      }
    }
  }
});
