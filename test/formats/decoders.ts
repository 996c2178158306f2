/**
 * What decodes the examples of `docs/formats/`: the program's own decoders, and nothing else that could be wrong with
 * them. All examples are of one repository, whose format blob and password stand in `repository.md`. Where there is an
 * encoder too, it must give the same bytes back.
 */
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { blobId } from '../../src/blobs/blob-store.ts';
import { CacheFile } from '../../src/blobs/cache-file.ts';
import { completeGroup } from '../../src/pool/group-intent.ts';
import { PoolLayout } from '../../src/pool/pool-layout.ts';
import {
  encodeRecord,
  poolRecordSchema,
  readRecord,
  snapshotRecordSchema,
  volumeRecordSchema,
} from '../../src/pool/pool-records.ts';
import { ErrorCorrection } from '../../src/repository/ecc/error-correction.ts';
import { ShardLayouts } from '../../src/repository/ecc/shard-layout.ts';
import { decodeShards, encodeShards, shardedPath } from '../../src/blobs/directory/shards.ts';
import { decodeStorageConfig } from '../../src/blobs/s3/storage-classes.ts';
import { MemoryStore } from '../../src/blobs/memory-store.ts';
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import { decodePostamble, encodePostamble, readLocalIndex } from '../../src/repository/content/pack-format.ts';
import { decodeSessionMarker } from '../../src/repository/content/session.ts';
import { openMaintenance } from '../../src/repository/format/maintenance-blob.ts';
import { openFormat, type OpenedFormat } from '../../src/repository/format/format-store.ts';
import { encodeIndex } from '../../src/repository/index/encode-index.ts';
import { activeIndexBlobs, epochState } from '../../src/repository/index/epochs.ts';
import { IndexTable } from '../../src/repository/index/index-table.ts';
import { TableFile } from '../../src/repository/index/table-file.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/repository/manifest/checkpoint.ts';
import { decodeDirectory, encodeDirectory } from '../../src/repository/manifest/directory.ts';
import { imageOf } from '../../src/repository/manifest/image-directory.ts';
import { decodeManifestContent, encodeManifestContent } from '../../src/repository/manifest/manifest-codec.ts';
import { decodeSnapshot } from '../../src/repository/manifest/snapshot.ts';
import { decodeIndirect, encodeIndirect } from '../../src/repository/object/indirect.ts';
import { objectId } from '../../src/repository/object/object-id.ts';
import { decodePiece, encodePiece } from '../../src/repository/tree/tree-list.ts';
import { readNode } from '../../src/repository/tree/tree-node.ts';
import { decodeVolumeTags } from '../../src/repository/tree/volume-tags.ts';
import { Schedule } from '../../src/maintenance/schedule.ts';
import { formatGoTime } from '../../src/std/go-time.ts';
import { systemClock } from '../../src/std/clock.ts';
import { readFilesState, type FilesState } from '../../src/transfer/files-state.ts';
import { readState, type RestoreState } from '../../src/transfer/restore-state.ts';
import { memoryFolder } from '../support/temporary.ts';
import { readExamples, type Example } from './examples.ts';

const signal = AbortSignal.timeout(60_000);

/** The repository of all examples, opened with its password. */
async function openExample(): Promise<OpenedFormat> {
  const store = new MemoryStore({ clock: systemClock });
  const page = readExamples('repository.md');
  for (const [decoder, id] of [
    ['format-blob', 'kopia.repository'],
    ['blobcfg', 'kopia.blobcfg'],
  ] as const) {
    const example = page.find((each) => each.decoder === decoder);
    assert.ok(example !== undefined);
    await store.put(blobId(id), example.bytes, { signal });
  }
  return await openFormat(store, { password: 'example', clock: systemClock, signal });
}

const opened = await openExample();
const codec = new ContentCodec(opened.format);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export type Decoder = (example: Example) => unknown;

/** By the word after the language in an info string. */
export const decoders: Readonly<Record<string, Decoder>> = {
  blobcfg: () => ({ retention: opened.retention ?? null }),
  maintenance: ({ bytes }) => {
    const schedule = Schedule.parse(openMaintenance(opened, bytes));
    assert.deepEqual(Schedule.parse(schedule.encode()), schedule);
    const times = { nextFull: formatGoTime(schedule.nextFull), nextQuick: formatGoTime(schedule.nextQuick) };
    return { ...times, 'snapshot-gc': schedule.runs('snapshot-gc'), 'cleanup-logs': schedule.runs('cleanup-logs') };
  },
  'format-blob': () => {
    const { secret, masterKey, epochs, packHead, ...format } = opened.format;
    assert.deepEqual([secret.length, masterKey.length, packHead.length], [32, 32, 0]);
    return { uniqueId: hex(opened.uniqueId), ...format, epochs: epochs.enabled };
  },
  'error-correction': ({ bytes, options }) => {
    const percent = Number(options['overhead']);
    const correction = new ErrorCorrection(percent);
    assert.ok(correction.isWhole(bytes));
    const input = Buffer.from(correction.unwrap(bytes));
    const again = Buffer.alloc(correction.storedBytes(input.length));
    correction.wrapInto(input.length, (into) => into.set(input), again, 0);
    assert.deepEqual(again, Buffer.from(bytes));
    const { parityShards } = new ShardLayouts(percent).ofInput(input.length);
    return { protected: input.toString('hex'), damagedShardsThatMayBeMended: parityShards };
  },
  shards: ({ bytes }) => {
    const shards = decodeShards(bytes.toString());
    assert.equal(encodeShards(shards), `${bytes.toString()}\n`);
    const path = (id: string): string => {
      const { directories, file } = shardedPath(shards, blobId(id));
      return [...directories, file].join('/');
    };
    return { 'kopia.repository': path('kopia.repository'), p239a3090441a: path(`p239a3090441a${'0'.repeat(20)}`) };
  },
  storageconfig: ({ bytes }) => ({ rules: decodeStorageConfig(bytes.toString()) }),
  epochs: ({ bytes }) => {
    const state = epochState((JSON.parse(bytes.toString()) as string[]).map(blobId));
    const { writeEpoch, deletionWatermarkSeconds } = state;
    return { writeEpoch, deletionWatermarkSeconds, active: activeIndexBlobs(state) };
  },
  'session-marker': ({ bytes, options }) => decodeSessionMarker(codec, blobId(options['name'] ?? ''), bytes),
  index: ({ bytes }) => {
    const entries = [...IndexTable.inMemory(bytes).entries()];
    const version = bytes[0] === 1 ? 1 : 2;
    assert.deepEqual(Buffer.from(encodeIndex(entries, { version, hashLengthBytes: codec.hashLengthBytes })), bytes);
    return entries;
  },
  pack: decodePack,
  'index-table': decodeTableFile,
  list: ({ bytes }) => {
    const entries = decodeIndirect(bytes);
    assert.equal(Buffer.from(encodeIndirect(entries)).toString().trimEnd(), bytes.toString());
    return entries;
  },
  node: async ({ bytes, options }) => {
    const id = codec.idOf(bytes, 'x');
    const reader = { read: async () => await Promise.resolve(bytes) };
    const leaves = await readNode(reader, { node: objectId(`I${id}`), lengthBytes: Number(options['length']), signal });
    return { leaves };
  },
  piece: ({ bytes, options }) => {
    const [piece, sizeBytes] = [Number(options['piece']), Number(options['size'])];
    const nodes = decodePiece(piece, { bytes, sizeBytes });
    assert.equal(Buffer.from(encodePiece(piece, { nodes, sizeBytes })).toString().trimEnd(), bytes.toString());
    return { nodes };
  },
  tags: ({ bytes }) => decodeVolumeTags(JSON.parse(bytes.toString()) as Record<string, string>),
  checkpoint: ({ bytes }) => {
    const checkpoint = decodeCheckpoint(bytes);
    assert.equal(Buffer.from(encodeCheckpoint(checkpoint)).toString(), `${bytes.toString()}\n`);
    return checkpoint;
  },
  directory: ({ bytes }) => {
    const directory = decodeDirectory(bytes);
    assert.equal(Buffer.from(encodeDirectory(directory)).toString(), `${bytes.toString()}\n`);
    const { image, checkpoint } = imageOf(directory, 'the example');
    return { image: image.object, sizeBytes: image.sizeBytes, checkpoint: checkpoint?.object };
  },
  manifests: ({ bytes }) => {
    const entries = decodeManifestContent(gzipSync(bytes));
    assert.deepEqual(decodeManifestContent(encodeManifestContent(entries)), entries);
    return entries.map((entry) => {
      if (entry.deleted) return { id: entry.id, deleted: true };
      const { id, startTime, rootEntry, tags, incomplete } = decodeSnapshot(entry);
      return { id, startTime, root: rootEntry.object, incomplete, tags: decodeVolumeTags(tags) };
    });
  },
  'read-cache': async ({ bytes, options }) => {
    await using folder = await memoryFolder('formats');
    const path = join(folder.path, 'cache');
    const slotBytes = 4096;
    await writeFile(path, Buffer.concat([Buffer.alloc(slotBytes * Number(options['slot'])), bytes]));
    const sizeBytes = slotBytes * Number(options['slots']);
    const clock = { ...systemClock, nowMs: () => bytes.readUInt32LE(8) * 1000 };
    await using file = await CacheFile.open({ path, sizeBytes, clock });
    const key = '2a6c0f/q3f2e-s1/100+24';
    const found = await file?.get(key, bytes.readUInt32LE(4));
    return { key, text: found && Buffer.from(found).toString() };
  },
  'restore-state': async ({ bytes }) => {
    await using folder = await memoryFolder('formats');
    const path = join(folder.path, 'state');
    await writeFile(path, bytes);
    const { snapshot, object, sizeBytes, file } = JSON.parse(bytes.toString()) as RestoreState;
    assert.equal(await readState(path, { snapshot, object, sizeBytes, file: 'another' }), undefined);
    return await readState(path, { snapshot, object, sizeBytes, file });
  },
  'files-state': async ({ bytes }) => {
    await using folder = await memoryFolder('formats');
    const path = join(folder.path, 'state');
    await writeFile(path, bytes);
    const state = JSON.parse(bytes.toString()) as FilesState;
    assert.equal(await readFilesState(path, { ...state, folder: 'another' }), undefined);
    assert.equal(await readFilesState(path, { ...state, owners: !state.owners }), undefined);
    return await readFilesState(path, state);
  },
  'pool-record': async ({ bytes }) => await readPoolRecord(bytes, poolRecordSchema),
  'pool-volume': async ({ bytes }) => await readPoolRecord(bytes, volumeRecordSchema),
  'pool-snapshot': async ({ bytes }) => await readPoolRecord(bytes, snapshotRecordSchema),
  'pool-group': completePoolGroup,
};

/** A record as it is read; written again it says the same. */
async function readPoolRecord<T extends Parameters<typeof encodeRecord>[0]>(
  bytes: Buffer,
  schema: Parameters<typeof readRecord<T>>[1],
): Promise<T | undefined> {
  await using folder = await memoryFolder('formats');
  const path = join(folder.path, 'record');
  await writeFile(path, bytes);
  const record = readRecord(path, schema);
  assert.ok(record !== undefined);
  assert.deepEqual(JSON.parse(Buffer.from(encodeRecord(record)).toString()), record);
  return record;
}

/** Where each member is once the group is completed, and what it was called before. */
async function completePoolGroup({ bytes, options }: Example): Promise<unknown> {
  await using folder = await memoryFolder('formats');
  const layout = new PoolLayout(folder.path);
  const { members } = JSON.parse(bytes.toString()) as {
    readonly members: readonly { readonly staged: string; readonly volume: string; readonly snapshot: string }[];
  };
  for (const { staged, volume } of members) {
    await mkdir(join(layout.staging, staged), { recursive: true });
    await writeFile(join(layout.staging, staged, 'name'), staged);
    await mkdir(layout.snapshots(volume), { recursive: true });
  }
  const name = `group-${options['id']}.json`;
  await writeFile(join(layout.staging, name), bytes);
  await completeGroup(layout, name, { mend: false });
  assert.deepEqual(await readdir(layout.staging), []);
  const places = members.map(({ volume, snapshot }) => layout.snapshot(volume, snapshot));
  const found = places.map(async (place) => [
    place.slice(folder.path.length + 1),
    await readFile(join(place, 'name'), 'utf8'),
  ]);
  return Object.fromEntries(await Promise.all(found)) as unknown;
}

/** The postamble, the local index that it points to, and the contents that this names. */
function decodePack({ bytes, options }: Example): unknown {
  const postamble = decodePostamble(bytes);
  const { plain } = readLocalIndex(bytes, codec);
  const tail = bytes.subarray(bytes.length - postamble.postambleBytes);
  assert.deepEqual(Buffer.from(encodePostamble(postamble)), tail);
  const entries = [...IndexTable.inMemory(plain).entries()];
  for (const { packBlob } of entries) assert.equal(packBlob, options['name']);
  const contents = entries.map((entry) => {
    const { contentId: id, packOffset, packedLength } = entry;
    const text = codec.open(entry, bytes.subarray(packOffset, packOffset + packedLength), { verify: true });
    return { contentId: id, packOffset, packedLength, text: Buffer.from(text).toString() };
  });
  return { localIndex: { offset: postamble.offset, lengthBytes: postamble.lengthBytes }, contents };
}

async function decodeTableFile({ bytes }: Example): Promise<unknown> {
  await using folder = await memoryFolder('formats');
  const path = join(folder.path, 'table.index');
  await writeFile(path, bytes);
  // `verified` takes the descriptor over; the last user closes it.
  const file = await TableFile.verified(openSync(path, 'r'), path, opened.deriveKey('dray index cache', 32));
  assert.ok(file !== undefined);
  using _file = { [Symbol.dispose]: () => file.release() };
  return { covers: file.covers, contents: [...file.table.entries()].map((entry) => entry.contentId) };
}
