/** The blob store's contract on real servers, with TLS and without. */
import { after, before, describe } from 'node:test';
import { blobStoreContract, type ContractStore } from '../../src/blobs/blob-store.contract.ts';
import type { S3Place } from '../../src/blobs/s3/s3-place.ts';
import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { parseXml, textOf } from '../../src/blobs/s3/s3-xml.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { whyWithout } from '../peers/peers.ts';
import { bareClient, type S3Server, type S3ServerName, startS3Server, testKeys } from '../peers/s3-servers.ts';

const signal = AbortSignal.timeout(600_000);
const bucket = 'contract';

await onServer('versitygw', { tls: true, region: 'us-east-1' });
await onServer('versitygw', { tls: false, region: 'eu-central-1' });
await onServer('minio', { tls: true, region: 'us-east-1' });

async function onServer(
  name: S3ServerName,
  options: { readonly tls: boolean; readonly region: string },
): Promise<void> {
  const skip = (await whyWithout(name)) ?? false;
  const title = `${name} with ${options.tls ? 'TLS' : 'plain HTTP'}`;
  describe(title, { skip }, () => {
    let server: S3Server;
    let stores = 0;
    before(async () => {
      server = await startS3Server(name, options);
      await server.makeBucket(bucket);
    });
    after(async () => await server[Symbol.asyncDispose]());
    blobStoreContract(title, async () => await contractStore(server.place(bucket, `store-${stores++}/`)));
  });
}

async function contractStore(place: S3Place): Promise<ContractStore> {
  const store = await S3Store.open(place, { signal, clock, findKeys: async () => testKeys });
  return {
    store,
    leftovers: async () => await unfinishedUploads(place),
    [Symbol.asyncDispose]: async () => {},
  };
}

async function unfinishedUploads(place: S3Place): Promise<readonly string[]> {
  await using bare = await bareClient(place);
  const query = { uploads: '', prefix: place.prefix };
  const { body } = await bare.client.send({ method: 'GET', query, doing: 'list uploads' }, { signal });
  const uploads = parseXml(body).children.filter(({ name }) => name === 'Upload');
  return uploads.map((upload) => textOf(upload, 'Key') ?? '');
}
