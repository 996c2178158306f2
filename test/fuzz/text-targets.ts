/** Decoders of names, times and addresses, and of what an S3 server answers. */
import { blobId, isBlobName } from '../../src/blobs/blob-store.ts';
import { parseRepositoryUrl } from '../../src/blobs/location.ts';
import { type HttpHeaders, ResponseReader } from '../../src/blobs/s3/http-response.ts';
import { listObjects } from '../../src/blobs/s3/list-objects.ts';
import { lockOf } from '../../src/blobs/s3/object-lock.ts';
import type { S3Client } from '../../src/blobs/s3/s3-client.ts';
import { failureOf } from '../../src/blobs/s3/s3-failure.ts';
import { parseXml } from '../../src/blobs/s3/s3-xml.ts';
import { parseSwaps } from '../../src/kernel/device-uses.ts';
import { parseMountinfo } from '../../src/kernel/mountinfo.ts';
import { contentId, contentKey } from '../../src/repository/content/content-id.ts';
import { activeIndexBlobs, epochState } from '../../src/repository/index/epochs.ts';
import { parseSnapshotPath } from '../../src/repository/manifest/find-entry.ts';
import { parseSource } from '../../src/repository/manifest/snapshot-source.ts';
import { contentOf, isIndirect, listOf, objectId } from '../../src/repository/object/object-id.ts';
import { parseGoTime } from '../../src/std/go-time.ts';
import { matchPath, parsePathPattern } from '../../src/std/path-patterns.ts';
import { type FuzzTarget, text } from './fuzz-target.ts';

const { signal } = new AbortController();
const of = (...texts: readonly string[]): Buffer[] => texts.map((each) => Buffer.from(each));

const page = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><KeyCount>2</KeyCount><IsTruncated>false</IsTruncated>
<Contents><Key>v/p1</Key><LastModified>2031-04-02T01:02:03.456Z</LastModified><ETag>"a"</ETag><Size>20971520</Size></Contents>
<Contents><Key>v/x%6e0_1</Key><LastModified>2031-04-02T01:02:03Z</LastModified><Size>0</Size></Contents></ListBucketResult>`;
const refusal =
  '<Error><Code>AccessDenied</Code><Message>no &amp; no</Message><Region>eu-central-1</Region><Resource>/b/p1</Resource></Error>';
const lock =
  '<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>GOVERNANCE</Mode><RetainUntilDate>2031-04-02T01:02:03Z</RetainUntilDate></Retention>';
const mounts =
  '36 35 98:0 /mnt1 /mnt2\\040a rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n21 1 0:20 / /sys rw shared:7 - sysfs sysfs rw\n';
const epochs = [
  'xe3',
  'xn3_0123456789abcdef0123456789abcdef-s1-c1',
  'xs1_0123456789abcdef0123456789abcdef-s1-c1',
  'xr0_1_0123456789abcdef0123456789abcdef-s1-c1',
  'xw1700000000',
];

export function textTargets(): FuzzTarget[] {
  return [...serverTargets(), ...nameTargets()];
}

function serverTargets(): FuzzTarget[] {
  return [
    { name: 'XML', valid: of(page, refusal, lock), decode: parseXml },
    {
      name: 'page of a listing',
      valid: of(page),
      decode: async (bytes) => {
        const found = listObjects({ client: answering(bytes), prefix: 'v/', description: 'b' }, '', { signal });
        await Array.fromAsync(found);
      },
    },
    {
      name: 'refusal of a server',
      valid: of(refusal),
      decode: (body) => failureOf({ status: 403, headers: {}, body }, { doing: 'try', nowMs: 0 }),
    },
    {
      name: 'lock of an object',
      valid: of(lock),
      decode: async (bytes) => await lockOf(answering(bytes) as unknown as S3Client, 'k', { doing: 'ask', signal }),
    },
  ];
}

function nameTargets(): FuzzTarget[] {
  return [
    {
      name: 'Go time',
      valid: of('2031-04-02T01:02:03.123456789Z', '0001-01-01T00:00:00-07:00'),
      decode: (bytes) => parseGoTime(text(bytes)),
    },
    { name: 'name of a blob', valid: of('p0123-s1'), decode: (bytes) => blobId(text(bytes)) },
    { name: 'content id', valid: of('k0123456789abcdef'), decode: (bytes) => contentKey(contentId(text(bytes))) },
    {
      name: 'object id',
      valid: of('Ix0123456789abcdef', 'Zk01', 'IIx0123', '0123'),
      decode: (bytes) => {
        const id = objectId(text(bytes));
        return isIndirect(id) ? listOf(id) : contentOf(id);
      },
    },
    {
      name: 'names of index blobs',
      valid: [Buffer.from(epochs.join('\n'))],
      decode: (bytes) => activeIndexBlobs(epochState(text(bytes).split('\n').filter(isBlobName).map(blobId))),
    },
    { name: 'source of a snapshot', valid: of('user@host:/path'), decode: (bytes) => parseSource(text(bytes)) },
    { name: 'path in a snapshot', valid: of('7f3a/etc/hosts'), decode: (bytes) => parseSnapshotPath(text(bytes)) },
    {
      name: 'pattern of paths',
      valid: of('*.con[!f]', '/a/**/b/', '!\\#x?'),
      decode: (bytes) => {
        const pattern = parsePathPattern(text(bytes).slice(0, 200));
        return pattern && matchPath([pattern], ['some', 'etc', 'hosts.conf'], { isFolder: false });
      },
    },
    {
      name: 'address of a repository',
      valid: of('s3://b/p?endpoint=https://h:9000&region=r&path-style=true&ca=f', 'file:///srv/a', '/srv/a'),
      decode: (bytes) => parseRepositoryUrl(text(bytes), { region: undefined, tls: true }),
    },
    {
      name: 'answer of an HTTP server',
      valid: of(
        'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde',
        'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\na: b\r\n\r\n',
      ),
      decode: (bytes) => {
        const sink = { onHead: () => undefined, onBody: () => undefined, onEnd: () => undefined };
        const reader = new ResponseReader(sink, { method: 'GET' });
        reader.push(Buffer.from(bytes));
        reader.close();
      },
    },
    {
      name: 'mounts of the system',
      valid: of(mounts),
      decode: (bytes) => [parseMountinfo(text(bytes)), parseSwaps(text(bytes))],
    },
  ];
}

/** A server that says this to everything. */
function answering(body: Uint8Array): Pick<S3Client, 'send'> {
  const headers: HttpHeaders = { date: 'Wed, 02 Apr 2031 01:02:03 GMT' };
  return { send: async () => ({ status: 200, headers, body: Buffer.from(body) }) };
}
