/** Where keys come from is asked through the proxy when it is a service of the network, and never when it serves one machine. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer, type RequestListener } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { authorityFile } from '../peers/s3-servers.ts';
import { startProxy } from './proxy-server.ts';
import { listenHere } from '../support/listen-here.ts';

const run = promisify(execFile);
const finder = join(import.meta.dirname, '../../src/blobs/s3/find-aws-keys.ts');
const clock = join(import.meta.dirname, '../../src/std/clock.ts');
const script = `
  const { findAwsKeys } = await import(${JSON.stringify(finder)});
  const { systemClock: clock } = await import(${JSON.stringify(clock)});
  const said = await findAwsKeys({ clock, proxies: process.env }).then((keys) => keys.accessKeyId, (error) => [error.code, error.message, String(error.cause)].join(' '));
  console.log(said);
`;

/** What a process with this environment finds: the access key, or why none, with the code. */
async function find(env: Readonly<Record<string, string>>): Promise<string> {
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], {
    env: { HOME: '/nonexistent', ...env },
  });
  return stdout.trim();
}

async function serve(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(listener);
  const port = await listenHere(server);
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await Promise.resolve();
    },
  };
}

const webIdentity = {
  AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/backup',
  AWS_WEB_IDENTITY_TOKEN_FILE: authorityFile, // Any file will do.
  AWS_REGION: 'eu-central-1',
  AWS_MAX_ATTEMPTS: '1',
};

test('roles are assumed through the proxy', async () => {
  await using proxy = await startProxy({ status: 403, credentials: 'me:secret' });
  const HTTPS_PROXY = proxy.url.replace('://', '://me:secret@');
  const said = await find({ ...webIdentity, HTTPS_PROXY });
  assert.deepEqual(proxy.asked, ['CONNECT sts.eu-central-1.amazonaws.com:443']);
  assert.match(
    said,
    /^blob-proxy the proxy http:\S+ \(HTTPS_PROXY\) refuses the way to sts\.eu-central-1\.amazonaws\.com:443/,
  );
});

test('NO_PROXY is for roles too', async () => {
  await using proxy = await startProxy({ status: 403 });
  // A name that stands for no address: without the proxy it is not found.
  const said = await find({
    ...webIdentity,
    AWS_ENDPOINT_URL_STS: 'https://sts.dray.test',
    HTTPS_PROXY: proxy.url,
    NO_PROXY: '.dray.test',
  });
  assert.deepEqual(proxy.asked, []);
  assert.match(said, /^blob-unavailable .*(ENOTFOUND|EAI_AGAIN)/);
});

test('an instance is asked for its role without the proxy, whatever Node has been told', async () => {
  await using proxy = await startProxy({ status: 502 });
  await using metadata = await serve(({ url = '', method }, response) => {
    if (method === 'PUT') return void response.end('a-token');
    if (url.endsWith('/security-credentials/')) return void response.end('backup');
    const keys = { Code: 'Success', AccessKeyId: 'of-the-instance', SecretAccessKey: 's', Token: 't' };
    response.end(JSON.stringify({ ...keys, Expiration: '2099-01-01T00:00:00Z' }));
  });
  const said = await find({
    AWS_EC2_METADATA_SERVICE_ENDPOINT: metadata.url,
    HTTP_PROXY: proxy.url,
    HTTPS_PROXY: proxy.url,
    NODE_USE_ENV_PROXY: '1',
  });
  assert.equal(said, 'of-the-instance');
  assert.deepEqual(proxy.asked, []);
});

describe('a failure', () => {
  const sts = async (status: number, code: string): Promise<AsyncDisposable & { readonly url: string }> =>
    await serve((_request, response) => {
      response.writeHead(status, { 'content-type': 'text/xml' });
      response.end(`<ErrorResponse><Error><Code>${code}</Code><Message>because</Message></Error></ErrorResponse>`);
    });

  for (const [status, code, expected] of [
    [500, 'InternalFailure', 'blob-unavailable'],
    [400, 'Throttling', 'blob-unavailable'],
    [400, 'IDPCommunicationError', 'blob-unavailable'],
    [403, 'AccessDenied', 'blob-credentials'],
    [400, 'InvalidIdentityToken', 'blob-credentials'],
  ] as const) {
    test(`of STS with ${code} is ${expected}`, async () => {
      await using service = await sts(status, code);
      const said = await find({ ...webIdentity, AWS_ENDPOINT_URL_STS: service.url });
      assert.ok(said.startsWith(`${expected} `) && said.includes(code) && said.endsWith(': because'), said);
    });
  }

  test('to reach STS may pass, as may one of the service of a container', async () => {
    const away = await find({ ...webIdentity, AWS_ENDPOINT_URL_STS: 'http://127.0.0.1:1' });
    assert.match(away, /^blob-unavailable .*ECONNREFUSED/);
    await using container = await serve((_request, response) => void response.writeHead(503).end());
    const refused = await find({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container.url}/keys` });
    assert.match(refused, /^blob-unavailable /);
  });

  test('to find a file, or anything at all, does not pass', async () => {
    const absent = { ...webIdentity, AWS_WEB_IDENTITY_TOKEN_FILE: '/nonexistent/token' };
    for (const env of [absent, {}]) {
      const said = await find({ ...env, AWS_EC2_METADATA_DISABLED: 'true' });
      // What the package has thrown: whoever asked calls it no keys.
      assert.ok(!said.startsWith('blob-unavailable'), said);
    }
  });
});
