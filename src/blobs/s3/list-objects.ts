/**
 * The names below a prefix, page by page (ListObjectsV2). What a repository does not name so is left out: everything behind
 * a further `/` by the server itself, such as another repository's folder, and whatever else is no blob's name.
 */
import { BlobError, blobId, type BlobList, type BlobMetadata, isBlobName } from '../blob-store.ts';
import type { S3Client } from './s3-client.ts';
import { parseXml, textOf, type XmlElement } from './s3-xml.ts';
import { storageConfigName } from './storage-classes.ts';

/** Kept beside the blobs, and hidden as Kopia does. */
const hidden = new Set([storageConfigName]);

/** One after the other: a page may hold nothing but a thousand folders' names, which are left out. */
const pagesInVainMax = 1000;

/** For a page that nobody waits for any more. */
const over = new Error('the listing is over');

export interface ListedFrom {
  readonly client: Pick<S3Client, 'send'>;
  /** Of the repository, in front of each blob's name. */
  readonly prefix: string;
  /** The repository, for messages. */
  readonly description: string;
}

/** In the order of the server, which is that of the names' bytes. @throws {BlobError} */
export async function* listObjects(
  { client, prefix, description }: ListedFrom,
  blobPrefix: string,
  { signal, after }: BlobList,
): AsyncGenerator<BlobMetadata, void, undefined> {
  const doing = `list ${blobPrefix}* of ${description}`;
  const query = {
    'list-type': '2',
    delimiter: '/',
    'encoding-type': 'url',
    prefix: `${prefix}${blobPrefix}`,
    ...(after !== undefined && { 'start-after': `${prefix}${after}` }),
  };
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  const ask = async (continued?: string): Promise<Page> => {
    const asked = continued === undefined ? query : { ...query, 'continuation-token': continued };
    const answer = await client.send({ method: 'GET', query: asked, doing }, { signal: either });
    return readPage(answer.body, doing);
  };
  let token: string | undefined;
  let last = '';
  let pagesInVain = 0;
  let coming = ask();
  try {
    for (;;) {
      const page = await coming;
      const goesOn = page.next !== undefined && page.next !== token;
      if (goesOn) {
        // It travels while this one is made use of; what fails is told when its turn comes.
        coming = ask(page.next);
        coming.catch(() => undefined);
      }
      for (const object of page.objects) {
        signal.throwIfAborted();
        const blob = readObject(object, { prefix, doing });
        if (blob === undefined) continue;
        yield blob;
        if (blob.id > last) [last, pagesInVain] = [blob.id, 0];
      }
      if (page.next === undefined) return;
      pagesInVain += 1;
      if (!goesOn || pagesInVain > pagesInVainMax) throw notAPage(doing, 'its pages have no end');
      token = page.next;
    }
  } finally {
    ended.abort(over);
    await coming.catch(() => undefined);
  }
}

interface Page {
  readonly objects: readonly XmlElement[];
  /** Absent on the last page. */
  readonly next: string | undefined;
}

function readPage(body: Uint8Array, doing: string): Page {
  let root: XmlElement;
  try {
    root = parseXml(body);
  } catch (error) {
    throw notAPage(doing, 'something in between may have answered, such as a proxy', error);
  }
  if (root.name !== 'ListBucketResult') throw notAPage(doing, 'it is no list');
  const next = textOf(root, 'NextContinuationToken');
  const truncated = textOf(root, 'IsTruncated') === 'true';
  if (truncated && !next) throw notAPage(doing, 'it says that there is more, but not where');
  const objects = root.children.filter(({ name }) => name === 'Contents');
  return { objects, next: truncated ? next : undefined };
}

function readObject(
  object: XmlElement,
  { prefix, doing }: { readonly prefix: string; readonly doing: string },
): BlobMetadata | undefined {
  const key = decodeKey(textOf(object, 'Key'));
  if (key === undefined || !key.startsWith(prefix)) throw notAPage(doing, 'it names what was not asked for');
  const name = key.slice(prefix.length);
  if (!isBlobName(name) || hidden.has(name)) return undefined;
  const lengthBytes = Number(textOf(object, 'Size') || Number.NaN);
  const timestampMs = wholeSeconds(textOf(object, 'LastModified'));
  if (!Number.isSafeInteger(lengthBytes) || lengthBytes < 0 || timestampMs === undefined) {
    throw notAPage(doing, 'it lacks a length or a time');
  }
  return { id: blobId(name), lengthBytes, timestampMs };
}

/**
 * A server's time in milliseconds since the Unix epoch, without its fraction: listings may have one, answers to HEAD never
 * do, and a blob has one time. Undefined when it is no time.
 */
export function wholeSeconds(text: string | undefined): number | undefined {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000) * 1000;
}

function decodeKey(text: string | undefined): string | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}

function notAPage(doing: string, why: string, cause?: unknown): BlobError {
  return new BlobError('blob-unavailable', `${doing}: the answer is no page of a listing: ${why}`, { cause });
}
