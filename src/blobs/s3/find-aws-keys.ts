/**
 * Keys as AWS's command line finds them, with what the process was given as environment. The package that knows the places is
 * loaded when the first request is signed, so nobody else pays for it. Services of the network (STS, SSO) are asked through
 * the proxy that would stand before the store; an instance or a container asks what serves it alone, and never a proxy.
 */
import http from 'node:http';
import type { Clock } from '../../std/clock.ts';
import { BlobError } from '../blob-store.ts';
import { proxyAgent } from './proxy-agent.ts';
import type { ProxyVariables } from './proxy.ts';
import { type FoundKeys, noneNow } from './s3-credentials.ts';

export interface FindAwsKeysParts {
  readonly clock: Clock;
  readonly proxies: ProxyVariables;
}

/** @throws {BlobError} where it is known what the failure means; else what the package throws */
export async function findAwsKeys(parts: FindAwsKeysParts): Promise<FoundKeys> {
  // The package reads these there as well.
  // oxlint-disable-next-line no-restricted-properties
  const { env } = process;
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  const { AWS_PROFILE: profile, AWS_CREDENTIAL_EXPIRATION: expiration, AWS_SESSION_TOKEN: sessionToken } = env;
  if (accessKeyId && secretAccessKey && !profile && !expiration) {
    // What the package would find first; loading it takes longer than many a request.
    return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
  }
  const { defaultProvider } = await import('@aws-sdk/credential-provider-node');
  // The package asks instances through Node's own agent, which NODE_USE_ENV_PROXY would send to the proxy. Nothing else does.
  http.globalAgent = new http.Agent();
  const clientConfig = { requestHandler: { httpsAgent: proxyAgent(parts) } };
  // A new one each time, and no cached files: it is asked again only when what it said before is of no use any more.
  // The keys do not depend on the region, but roles are assumed through a service that wants one.
  // An instance is asked several times, because nothing tells one that does not answer from a machine that is none.
  const find = defaultProvider({ ignoreCache: true, logger: silent, clientConfig, maxRetries: 3 });
  try {
    return await find();
  } catch (error) {
    throw meaningOf(error, { env });
  }
}

/** Of a network on which something is away, rather than of a file. */
const networkErrors = /^(ECONN|ETIMEDOUT|ENOTFOUND|EAI_|EPIPE|EHOST|ENET|ERR_SSL|EPROTO)/;
/** What AWS's services call their wish to be asked later; STS says so too of a provider of identities that it cannot reach. */
const askLater = /Throttl|TooManyRequests|RequestLimitExceeded|SlowDown|IDPCommunicationError|TimeoutError/;

function meaningOf(error: unknown, { env }: { readonly env: NodeJS.ProcessEnv }): unknown {
  if (!(error instanceof Error) || error instanceof BlobError) return error;
  const code = 'code' in error ? String(error.code) : '';
  const fault = '$fault' in error ? error.$fault : undefined;
  // A container's service is known to be there; the package does not tell why it gave no keys.
  const { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: path, AWS_CONTAINER_CREDENTIALS_FULL_URI: url } = env;
  const inContainer = error.name === 'CredentialsProviderError' && Boolean(path || url);
  if (inContainer || fault === 'server' || networkErrors.test(code) || askLater.test(error.name)) {
    return new BlobError('blob-unavailable', noneNow, { cause: error });
  }
  return fault === 'client' ? new BlobError('blob-credentials', 'keys for S3 were refused', { cause: error }) : error;
}

/** It would warn on the console of variables that it does not take. */
const nothing = (): void => {};
const silent = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };
