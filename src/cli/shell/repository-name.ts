import { resolve } from 'node:path';

/** A repository as records name it for people: an absolute path, or a URL without what may be secret. */
export function repositoryName(url: string): string {
  if (url.startsWith('file:///')) return decodeURIComponent(new URL(url).pathname);
  if (!/^[a-z][a-z0-9+]*:\/\//i.test(url)) return resolve(url);
  const parsed = new URL(url);
  parsed.username = '';
  parsed.password = '';
  return parsed.href;
}
