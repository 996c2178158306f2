/** Valid inputs: the captured examples of `docs/formats/`, and the repository that they are of. */
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import { openFormat, type OpenedFormat } from '../../src/repository/format/format-store.ts';
import { blobId } from '../../src/blobs/blob-store.ts';
import { MemoryStore } from '../../src/blobs/memory-store.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { pageNames, readExamples } from '../formats/examples.ts';

const all = pageNames().flatMap((page) => readExamples(page));

/** Of all examples with this decoder. */
export function examples(decoder: string): Buffer[] {
  return all.filter((example) => example.decoder === decoder).map(({ bytes }) => bytes);
}

export interface ExampleRepository {
  readonly opened: OpenedFormat;
  readonly codec: ContentCodec;
}

export async function exampleRepository(): Promise<ExampleRepository> {
  const { signal } = new AbortController();
  const store = new MemoryStore({ clock });
  await store.put(blobId('kopia.repository'), examples('format-blob')[0]!, { signal });
  await store.put(blobId('kopia.blobcfg'), examples('blobcfg')[0]!, { signal });
  const opened = await openFormat(store, { password: 'example', clock, signal });
  return { opened, codec: new ContentCodec(opened.format) };
}
