/**
 * The worker thread of a restore: fetches what the main thread names, checks it, and writes it to a volume
 * (`volume-writer.ts`) or to files (`files-writer.ts`). Threads begin to load before it is known which.
 */
import assert from 'node:assert/strict';

import { openBlobStore } from '../blobs/open-blob-store.ts';
import { ContentCodec } from '../repository/content/content-codec.ts';
import { IndexLookup } from '../repository/index/index-lookup.ts';
import { systemClock } from '../std/clock.ts';
import { systemRng } from '../std/rng.ts';
import { prepared, serveTasks, taskData } from '../std/serve-tasks.ts';
import { reopenTarget } from '../volume/file-target.ts';
import { fetchTasksPerWorker, type FetchOutput, type FetchTask, type FetchWorkerData } from './fetch-messages.ts';
import { FilesWriter } from './files-writer.ts';
import { LeafFetcher } from './leaf-fetcher.ts';
import { PartWriter } from './part-writer.ts';
import { VolumeWriter } from './volume-writer.ts';

const data = await taskData<FetchWorkerData>();
const stop = new AbortController();
const { signal } = stop;
const codec = new ContentCodec(data.format);
const lookup = await prepared(() => new IndexLookup(data.index));
const store = await prepared(() => openBlobStore(data.store, { signal, clock: systemClock, rng: systemRng }));
const fetcher = new LeafFetcher({ codec, store, lookup, tasks: fetchTasksPerWorker[data.store.kind], signal });
const parts = new PartWriter(fetcher);
const writer = await prepared(async () => await openWriter(data.output));

serveTasks<FetchTask>({
  async handle(task) {
    switch (task.kind) {
      case 'index':
        fetcher.useIndex(new IndexLookup(task.index));
        return undefined;
      case 'fetch':
      case 'delta':
        assert(writer instanceof VolumeWriter);
        return await writer.leaves(task);
      case 'zero':
        assert(writer instanceof VolumeWriter);
        return await writer.zero(task);
      case 'files':
        assert(writer instanceof FilesWriter);
        return await writer.files(task);
      case 'part':
        return await parts.part(task);
    }
  },
  async close() {
    stop.abort(new Error('the worker was closed'));
    if (writer instanceof VolumeWriter) await writer.close();
    await store[Symbol.asyncDispose]();
  },
});

async function openWriter(output: FetchOutput): Promise<VolumeWriter | FilesWriter> {
  if (output.kind === 'files') return new FilesWriter({ fetcher, output });
  const target = await reopenTarget(output.target, { signal });
  return new VolumeWriter({ fetcher, target, sizeBytes: output.sizeBytes, signal });
}
