/**
 * Addresses of exports, as libnbd and QEMU's tools write them
 * (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md): `nbd://HOST[:PORT]/EXPORT`, `nbd+unix:///EXPORT?socket=PATH`, with
 * `nbds` for TLS. They are taken apart by hand: `URL` would shorten `a/../b` and drop tabs, and the name of an export
 * may be any text. They hold no secrets; NBD knows no passwords.
 */
import { NbdError } from './nbd-error.ts';
import { stringBytesMax } from './nbd-numbers.ts';

export const defaultPort = 10_809;

export interface NbdUrl {
  readonly server: { readonly host: string; readonly port: number } | { readonly socketPath: string };
  /** Empty: the server's default export. */
  readonly exportName: string;
  /** Absent: no TLS. */
  readonly tls?: NbdTls | undefined;
}

export interface NbdTls {
  /** A folder with `ca-cert.pem`, and `client-cert.pem` and `client-key.pem` where the server asks for them. */
  readonly certificates?: string | undefined;
  /** Whom the certificate must name; absent: the host. */
  readonly hostname?: string | undefined;
}

/** Whether this means an NBD server, well written or not; a file of such a name is `./nbd:…`. */
export function isNbdUrl(text: string): boolean {
  return /^nbds?(\+[a-z]+)?:/i.test(text);
}

/** @throws {NbdError} `nbd-url` naming what is wrong */
export function parseNbdUrl(text: string): NbdUrl {
  const match = /^(nbds?)(?:\+([a-z]+))?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i.exec(text);
  if (match === null) throw notOne(text, 'write nbd://HOST/EXPORT or nbd+unix:///EXPORT?socket=PATH');
  const [, scheme = '', transport, authority = '', path = '', query] = match;
  const exportName = decoded(text, path);
  if (Buffer.byteLength(exportName) > stringBytesMax)
    throw notOne(text, `an export's name has at most ${stringBytesMax} bytes`);
  const secure = scheme.toLowerCase() === 'nbds';
  const parameters = parametersOf(text, query);
  const tls = tlsOf(text, parameters, { secure });
  switch (transport?.toLowerCase()) {
    case undefined: {
      if (parameters.has('socket')) throw notOne(text, 'a socket needs nbd+unix://');
      return { server: serverOf(text, authority), exportName, ...(tls && { tls }) };
    }
    case 'unix': {
      const socketPath = parameters.get('socket');
      if (authority !== '') throw notOne(text, 'a Unix socket has no host: write nbd+unix:///EXPORT?socket=PATH');
      if (socketPath === undefined || !socketPath.startsWith('/'))
        throw notOne(text, 'socket=PATH must name a whole path');
      return { server: { socketPath }, exportName, ...(tls && { tls }) };
    }
    default:
      throw notOne(text, `nbd+${transport} is not known here, only TCP and Unix sockets are`);
  }
}

/**
 * The same export in one way of writing, for the name of its backups: without what only says how to trust it. The same disk over
 * TLS, or from another port, is another name.
 */
export function canonicalNbdUrl({ server, exportName, tls }: NbdUrl): string {
  const scheme = tls === undefined ? 'nbd' : 'nbds';
  const name = encodeURIComponent(exportName).replaceAll('%2F', '/');
  if ('socketPath' in server)
    return `${scheme}+unix:///${name}?socket=${encodeURIComponent(server.socketPath).replaceAll('%2F', '/')}`;
  const host = server.host.includes(':') ? `[${server.host}]` : server.host;
  return `${scheme}://${host}${server.port === defaultPort ? '' : `:${server.port}`}/${name}`;
}

const known = ['socket', 'tls-certificates', 'tls-hostname'];

function parametersOf(text: string, query: string | undefined): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const part of query === undefined || query === '' ? [] : query.split('&')) {
    const at = part.indexOf('=');
    const name = decoded(text, at < 0 ? part : part.slice(0, at)).toLowerCase();
    // Whoever asks for something, such as a key of TLS, must not believe that it was heard.
    if (!known.includes(name)) throw notOne(text, `${name} is not known here, only ${known.join(', ')} are`);
    if (found.has(name)) throw notOne(text, `${name} stands there twice`);
    found.set(name, decoded(text, at < 0 ? '' : part.slice(at + 1)));
  }
  return found;
}

function tlsOf(
  text: string,
  parameters: ReadonlyMap<string, string>,
  { secure }: { readonly secure: boolean },
): NbdTls | undefined {
  const certificates = parameters.get('tls-certificates');
  const hostname = parameters.get('tls-hostname');
  if (secure) return { ...(certificates && { certificates }), ...(hostname && { hostname }) };
  if (certificates ?? hostname) throw notOne(text, 'without TLS there are no certificates: write nbds://');
  return undefined;
}

function serverOf(text: string, authority: string): { readonly host: string; readonly port: number } {
  if (authority.includes('@'))
    throw notOne(text, 'users, and the keys that they share with a server, are not known here');
  const match = /^(?:\[([0-9a-f:.%]+)\]|([^:[\]]*))(?::(\d{1,5}))?$/i.exec(authority);
  const port = Number(match?.[3] ?? defaultPort);
  if (match === null || port < 1 || port > 65_535) throw notOne(text, `${authority} is no host and port`);
  const host = decoded(text, match[1] ?? match[2] ?? '').toLowerCase();
  return { host: host === '' ? 'localhost' : host, port };
}

function decoded(text: string, part: string): string {
  let plain: string;
  try {
    plain = decodeURIComponent(part);
  } catch (error) {
    throw notOne(text, 'a % must be followed by two digits of a byte of UTF-8', { cause: error });
  }
  if (plain.includes('\0')) throw notOne(text, 'a zero byte can stand in no name');
  return plain;
}

function notOne(text: string, why: string, options?: ErrorOptions): NbdError {
  // What stands before an @ may be meant as a password.
  return new NbdError(
    'nbd-url',
    `${text.replace(/\/\/[^/@]*@/, '//…@')} is no address of an NBD export: ${why}`,
    options,
  );
}
