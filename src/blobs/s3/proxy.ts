/**
 * The proxy that stands before a server, by the variables that Go's programs read, `kopia` among them, and in their way
 * (`golang.org/x/net/http/httpproxy`): HTTPS_PROXY or HTTP_PROXY by what the server speaks, NO_PROXY for exceptions, each
 * in upper case first; never for this machine itself. Other than there, ALL_PROXY and SOCKS are not known. A proxy's user
 * and password stand in its URL, go to the proxy alone, and in no message.
 */
import { BlockList, isIP, isIPv6 } from 'node:net';
import { BlobError } from '../blob-store.ts';
import { isUntrusted, type ServerAddress } from './http-connection.ts';

export type ProxyVariables = Readonly<Record<string, string | undefined>>;

export interface Proxy extends ServerAddress {
  /** For messages: what it is and where it was named. */
  readonly description: string;
  /** The value of `proxy-authorization`: a secret. */
  readonly authorization: string | undefined;
}

/** @throws {BlobError} `blob-proxy` when the variable that counts does not name one */
export function findProxy({ host, port, tls }: ServerAddress, variables: ProxyVariables): Proxy | undefined {
  const [name, text] = read(variables, tls === undefined ? 'HTTP_PROXY' : 'HTTPS_PROXY');
  if (text === undefined || isHere(host)) return undefined;
  const [, exceptions = ''] = read(variables, 'NO_PROXY');
  return isException({ host, port }, exceptions) ? undefined : parseProxy(text, name);
}

/** `cause`: absent when it was closed, or stayed silent for too long. */
export function proxyFailure({ description }: Proxy, cause: unknown): BlobError {
  if (isUntrusted(cause)) return new BlobError('blob-proxy', `${description} cannot be trusted`, { cause });
  return new BlobError('blob-unavailable', `the connection to ${description} failed`, { cause });
}

/** What a proxy says instead of passing a request on. */
export function proxyRefusal(proxy: Proxy, { status, target }: { status: number; target: string }): BlobError {
  if (status === 407) {
    const asks = proxy.authorization === undefined ? 'asks for a user and a password' : 'does not accept its password';
    return new BlobError('blob-proxy', `${proxy.description} ${asks}`);
  }
  // It was willing: the failure is behind it, or passes.
  const code = status >= 500 || status === 408 || status === 429 ? 'blob-unavailable' : 'blob-proxy';
  const what = code === 'blob-proxy' ? 'refuses the way to' : 'finds no way to';
  return new BlobError(code, `${proxy.description} ${what} ${target} (status ${status})`);
}

/** @returns the name that was found, and its value; none when it is empty */
function read(variables: ProxyVariables, name: string): [string, string | undefined] {
  const found = [name, name.toLowerCase()].find((spelled) => variables[spelled]?.trim());
  return found === undefined ? [name, undefined] : [found, variables[found]?.trim()];
}

function parseProxy(text: string, name: string): Proxy {
  const url = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (url === null || url.hostname === '') {
    throw new BlobError('blob-proxy', `${name} is no proxy's URL, such as http://proxy.example:3128`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new BlobError('blob-proxy', `${name} names a proxy of another kind than http:// and https://`);
  }
  const tls = url.protocol === 'https:';
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (tls ? 443 : 80) : Number(url.port),
    // Trusted by Node's authorities: those in the repository's URL are for the store.
    tls: tls ? {} : undefined,
    description: `the proxy ${url.origin} (${name})`,
    authorization: authorizationOf(url, name),
  };
}

function authorizationOf({ username, password }: URL, name: string): string | undefined {
  if (username === '' && password === '') return undefined;
  try {
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    return `Basic ${Buffer.from(credentials).toString('base64')}`;
  } catch {
    throw new BlobError('blob-proxy', `${name} has a % in its user or password that stands for nothing; write %25`);
  }
}

const here = new BlockList();
here.addSubnet('127.0.0.0', 8, 'ipv4');
here.addAddress('::1', 'ipv6');

function isHere(host: string): boolean {
  return host.toLowerCase() === 'localhost' || contains(here, host);
}

interface Target {
  readonly host: string;
  readonly port: number;
}

/** A list of `*`, `name`, `.name`, `*.name`, addresses, each with or without a port, and networks such as `10.0.0.0/8`. */
function isException(target: Target, list: string): boolean {
  const entries = list.toLowerCase().split(/[\s,]+/);
  return entries.some((entry) => entry !== '' && (entry === '*' || matches(target, entry)));
}

function matches({ host, port }: Target, entry: string): boolean {
  const network = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry);
  if (network !== null) return isInNetwork(host, network[1]!, Number(network[2]));
  const [, bracketed, plain, entryPort] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [];
  const named = bracketed ?? plain ?? entry;
  if (entryPort !== undefined && Number(entryPort) !== port) return false;
  if (isIP(named) !== 0) return contains(networkOf(named, isIPv6(named) ? 128 : 32), host);
  const domain = named.replace(/^\*(?=\.)/, '');
  if (domain === '') return false;
  const name = host.toLowerCase();
  return domain.startsWith('.') ? name.endsWith(domain) : name === domain || name.endsWith(`.${domain}`);
}

function isInNetwork(host: string, address: string, bits: number): boolean {
  const kind = isIP(address);
  return kind !== 0 && bits <= (kind === 4 ? 32 : 128) && contains(networkOf(address, bits), host);
}

function networkOf(address: string, bits: number): BlockList {
  const network = new BlockList();
  network.addSubnet(address, bits, familyOf(address));
  return network;
}

function contains(network: BlockList, host: string): boolean {
  return isIP(host) !== 0 && network.check(host, familyOf(host));
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}

/** Read where they are needed, as AWS's keys are: a location holds no secret, and each thread opens its own store. */
export function environmentProxies(): ProxyVariables {
  // oxlint-disable-next-line no-restricted-properties
  return process.env;
}
