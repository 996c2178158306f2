/** The program and a real kopia on one bucket of a real server, and what the program says when something is wrong. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { S3Place } from '../../src/blobs/s3/s3-place.ts';
import { S3Store } from '../../src/blobs/s3/s3-store.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { DrayClient, DrayFailed } from '../interop/dray-client.ts';
import { identity, image, password, writeSources } from '../interop/site.ts';
import { findKopia, KopiaClient, whyWithout } from '../peers/peers.ts';
import { authorityFile, type S3Server, startS3Server, testKeys } from '../peers/s3-servers.ts';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary.ts';

const skip = (await whyWithout('versitygw')) ?? (await whyWithout('kopia')) ?? false;
const bucket = 'volumes';
const noKeys = {
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_CONFIG_FILE: '/dev/null',
};
// Both programs find them where AWS's tools do.
Object.assign(process.env, noKeys, {
  AWS_ACCESS_KEY_ID: testKeys.accessKeyId,
  AWS_SECRET_ACCESS_KEY: testKeys.secretAccessKey,
});

describe('a repository in a bucket', { skip }, () => {
  let server: S3Server;
  let folder: TemporaryFolder;
  before(async () => {
    server = await startS3Server('versitygw', { region: 'eu-central-1' });
    await server.makeBucket(bucket);
    folder = await temporaryFolder('s3-end');
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  test('made by dray > is backed up to, verified, restored from, and read, written and maintained by kopia', async () => {
    await using dray = await DrayClient.open(server.url(bucket, 'made-by-dray'), password, identity);
    await dray.create();
    const bytes = image(1);
    const sources = await writeSources(join(folder.path, 'first'), bytes);
    const first = await dray.backup(sources.image);
    const again = await dray.backup(sources.image);
    assert.equal(again.parent, first.snapshot);
    assert.equal(again.newBytes, 0);
    await dray.verify();
    const restored = join(folder.path, 'restored.img');
    await dray.restore(first.snapshot, restored);
    assert.deepEqual(await readFile(restored), bytes);

    await using kopia = await openKopia('made-by-dray/');
    assert.deepEqual(
      new Set((await kopia.snapshotList()).map(({ id }) => id)),
      new Set([first.snapshot, again.snapshot]),
    );
    await kopia.verify();
    await kopia.restore(first.snapshot, join(folder.path, 'by-kopia'));
    assert.deepEqual(await readFile(join(folder.path, 'by-kopia', 'disk.img')), bytes);
    await kopia.run(['snapshot', 'create', sources.files]);
    await kopia.maintenanceFull({ safety: 'none' });
    await dray.verify();
    assert.equal((await dray.snapshotList()).length, 3);
  });

  test('made by kopia, with a prefix that is no folder > is found by its exact prefix', async () => {
    await using kopia = await openKopia('kopia-', { create: true });
    const sources = await writeSources(join(folder.path, 'second'), image(2));
    await kopia.run(['snapshot', 'create', sources.files]);
    const url = `${server.url(bucket, 'kopia-')}&exact-prefix=true`;
    await using dray = await DrayClient.open(url, password, identity);
    const { snapshot } = await dray.backup(sources.image);
    assert.equal((await dray.snapshotList()).length, 2);
    await dray.verify();
    await kopia.verify();
    assert.ok((await kopia.snapshotList()).some(({ id }) => id === snapshot));
  });

  test('with keys of a profile, on a server without TLS > works when that is allowed', async () => {
    await using plain = await startS3Server('versitygw', { tls: false });
    await plain.makeBucket(bucket);
    const credentials = join(folder.path, 'credentials');
    const { accessKeyId, secretAccessKey } = testKeys;
    const profile = `[tests]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
    await writeFile(credentials, profile, { mode: 0o600 });
    const env = {
      AWS_ACCESS_KEY_ID: '',
      AWS_SECRET_ACCESS_KEY: '',
      AWS_SHARED_CREDENTIALS_FILE: credentials,
      AWS_PROFILE: 'tests',
    };
    await using dray = await DrayClient.open(plain.url(bucket, 'plain'), password, identity);
    const source = join(folder.path, 'plain.img');
    await writeFile(source, image(3));
    await dray.run(['--no-tls', 'repository', 'create'], env);
    await dray.run(['--no-tls', 'backup', source], env);
    await dray.run(['repository', 'verify', '--level', 'data', '--no-tls'], env);
  });

  test('a backup outlives a server that is restarted in the middle', async () => {
    await using dray = await DrayClient.open(server.url(bucket, 'restarted'), password, identity);
    await dray.create();
    const source = join(folder.path, 'large.img');
    const bytes = Buffer.concat(Array.from({ length: 12 }, (_, seed) => image(10 + seed)));
    await writeFile(source, bytes);
    const running = dray.backup(source, ['--rate-limit', '20MiB']);
    await firstPack(server.place(bucket, 'restarted/'));
    await server.restart();
    const { snapshot } = await running;
    await dray.verify();
    const restored = join(folder.path, 'large-restored.img');
    await dray.restore(snapshot, restored);
    assert.ok(bytes.equals(await readFile(restored)));
  });

  for (const [what, change, code, message] of [
    [
      'a wrong key',
      { env: { AWS_SECRET_ACCESS_KEY: 'wrong' } },
      1,
      /does not accept the access key[^]*next: .*AWS_SECRET_ACCESS_KEY/,
    ],
    [
      'no keys',
      { env: { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' } },
      1,
      /no keys for S3[^]*next: .*AWS_PROFILE/,
    ],
    ['no such bucket', { bucket: 'others' }, 3, /the bucket does not exist[^]*next: Make the bucket/],
    [
      'nothing below the prefix',
      { prefix: 'empty' },
      3,
      /s3:\/\/volumes\/empty\/[^]*is empty[^]*dray repository create/,
    ],
    ['a certificate of nobody known', { ca: false }, 1, /cannot be trusted[^]*next: .*ca=FILE/],
    [
      'a file of authorities that is not there',
      { ca: '/no/such/file' },
      2,
      /read the certificates in \/no\/such\/file/,
    ],
    ['an endpoint without TLS', { http: true }, 2, /http:\/\/[^]*--no-tls/],
  ] as const satisfies readonly [string, Change, number, RegExp][]) {
    test(`${what} > is told, with what to do`, async () => {
      await using dray = await DrayClient.open(changed(change), password);
      await assert.rejects(
        dray.run(['snapshot', 'list'], 'env' in change ? change.env : {}),
        (error) =>
          error instanceof DrayFailed &&
          error.exitCode === code &&
          message.test(error.stderr) &&
          !/defect/.test(error.stderr),
      );
    });
  }

  /** Resolves when a pack is there. Asks on and on: nobody tells when another process has stored something. */
  async function firstPack(place: S3Place): Promise<void> {
    const signal = AbortSignal.timeout(60_000);
    await using store = await S3Store.open(place, { signal, clock, findKeys: async () => testKeys });
    while ((await Array.fromAsync(store.list('p', { signal }))).length === 0);
  }

  interface Change {
    readonly env?: Readonly<Record<string, string>>;
    readonly bucket?: string;
    readonly prefix?: string;
    readonly ca?: string | false;
    readonly http?: boolean;
  }

  function changed({ bucket: other = bucket, prefix = 'made-by-dray', ca, http = false }: Change): string {
    const url = new URL(server.url(other, prefix));
    if (ca === false) url.searchParams.delete('ca');
    else if (ca !== undefined) url.searchParams.set('ca', ca);
    if (http) url.searchParams.set('endpoint', server.endpoint.replace('https', 'http'));
    return url.href;
  }

  async function openKopia(prefix: string, { create = false }: { create?: boolean } = {}): Promise<KopiaClient> {
    const program = (await findKopia()) ?? '';
    const kopia = await KopiaClient.open(program, prefix);
    const storage = [
      's3',
      `--bucket=${bucket}`,
      `--prefix=${prefix}`,
      `--endpoint=${new URL(server.endpoint).host}`,
      '--region=eu-central-1',
      `--root-ca-pem-path=${authorityFile}`,
    ];
    await kopia.connectTo(storage, { password, create, identity });
    return kopia;
  }
});
