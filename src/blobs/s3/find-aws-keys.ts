/**
 * Keys as AWS's command line finds them, with what the process was given as environment. The package that knows the places is
 * loaded when the first request is signed, so nobody else pays for it. Services of the network (STS, SSO) are asked through
 * the proxy that would stand before the store; an instance or a container asks what serves it alone, and never a proxy.
 */
import http from 'node:http';
import type { Clock } from '../../std/clock.ts';
import { proxyAgent } from './proxy-agent.ts';
import type { ProxyVariables } from './proxy.ts';
import type { FoundKeys } from './s3-credentials.ts';

export interface FindAwsKeysParts {
  readonly clock: Clock;
  readonly proxies: ProxyVariables;
}

/** @throws what the package throws */
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
  return await defaultProvider({ ignoreCache: true, logger: silent, clientConfig })();
}

/** It would warn on the console of variables that it does not take. */
const nothing = (): void => {};
const silent = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };
