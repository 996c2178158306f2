/** Node's own client through a proxy, which is found and asked as for the store: for packages that use that client. */
import { Agent } from 'node:https';
import { isIP, Socket } from 'node:net';
import { connect } from 'node:tls';
import type { Clock } from '../../std/clock.ts';
import { toError } from '../../std/to-error.ts';
import { openTunnel } from './proxy-tunnel.ts';
import { findProxy, type ProxyVariables } from './proxy.ts';

export interface ProxyAgentParts {
  readonly clock: Clock;
  readonly proxies: ProxyVariables;
}

/** For TLS. Connections are not kept, and trusted by Node's authorities. A tunnel that is no longer wanted is left to its own deadline. */
export function proxyAgent({ clock, proxies }: ProxyAgentParts): Agent {
  const { signal } = new AbortController();
  const agent = new Agent();
  const straight = agent.createConnection.bind(agent);
  agent.createConnection = (options, connected) => {
    const host = (options.host ?? 'localhost').replace(/^\[|\]$/g, '');
    const server = { host, port: Number(options.port ?? 443), tls: {} };
    const open = async (): Promise<void> => {
      const proxy = findProxy(server, proxies);
      if (proxy === undefined) return connected?.(null, straight(options) ?? new Socket());
      const socket = await openTunnel(proxy, server, { clock, signal });
      connected?.(null, connect({ host, servername: isIP(host) === 0 ? host : '', socket }));
    };
    open().catch((error: unknown) => connected?.(toError(error), new Socket()));
    return undefined;
  };
  return agent;
}
