/** Decoders of JSON that lies in a repository, as plaintext: whoever has the password may have written anything. */
import { gzipSync } from 'node:zlib';
import { blobId } from '../../src/blobs/blob-store.ts';
import { decodeShards } from '../../src/blobs/directory/shards.ts';
import { decodeStorageConfig } from '../../src/blobs/s3/storage-classes.ts';
import { parseChangeList } from '../../src/changes/change-list.ts';
import { decodeSessionMarker, encodeSessionMarker } from '../../src/repository/content/session.ts';
import { decodeBlobcfg, encodeBlobcfg } from '../../src/repository/format/blobcfg.ts';
import { parseContentFormat } from '../../src/repository/format/content-format.ts';
import { formatEnvelopeKey, openEnvelope } from '../../src/repository/format/envelope.ts';
import { decodeFormatBlob } from '../../src/repository/format/format-blob.ts';
import { formatReplica } from '../../src/repository/format/format-replica.ts';
import { decodeCleanupEntry } from '../../src/repository/index/cleanup-entry.ts';
import { decodeCompactionLog } from '../../src/repository/index/compaction-log.ts';
import { decodeCheckpoint } from '../../src/repository/manifest/checkpoint.ts';
import { decodeDirectory } from '../../src/repository/manifest/directory.ts';
import { directoryEntries } from '../../src/repository/manifest/directory-entries.ts';
import { imageOf } from '../../src/repository/manifest/image-directory.ts';
import { decodeManifestContent } from '../../src/repository/manifest/manifest-codec.ts';
import { decodeSnapshot } from '../../src/repository/manifest/snapshot.ts';
import { decodeIndirect } from '../../src/repository/object/indirect.ts';
import { leaves } from '../../src/repository/object/object-reader.ts';
import { objectId } from '../../src/repository/object/object-id.ts';
import { readNode } from '../../src/repository/tree/tree-node.ts';
import { decodePiece } from '../../src/repository/tree/tree-list.ts';
import { decodeVolumeTags } from '../../src/repository/tree/volume-tags.ts';
import { JsonElements } from '../../src/std/json-elements.ts';
import { isJsonObject, jsonObject, parseJson } from '../../src/std/lossless-json.ts';
import { stringifyJson } from '../../src/std/write-json.ts';
import { type ExampleRepository, examples } from './example-inputs.ts';
import { type FuzzTarget, text } from './fuzz-target.ts';

const { signal } = new AbortController();
const dayMs = 24 * 60 * 60 * 1000;
const contentName = '0123456789abcdef0123456789abcdef';
const log = '{"inputMetadata":[{"id":"n1","length":7}],"outputMetadata":[{"id":"n2"}]}';
const cleanup = '{"blobIDs":["m1","m2"],"cleanupScheduleTime":"2026-11-21T01:49:30.153289516Z"}';
const changes = '{"parent":"0123456789abcdef","extents":[{"offset":0,"length":65536},{"offset":1048576,"length":512}]}';

export function jsonTargets(repository: ExampleRepository): FuzzTarget[] {
  return [...formatTargets(repository), ...snapshotTargets(), ...objectTargets(), ...plainTargets()];
}

function formatTargets({ opened, codec }: ExampleRepository): FuzzTarget[] {
  const [blob] = examples('format-blob');
  const { sealedConfig, uniqueId } = decodeFormatBlob(blob!);
  const config = openEnvelope(formatEnvelopeKey(opened.formatKey, uniqueId), sealedConfig)!;
  const session = { sessionId: 's0123456789abcdef147', userName: 'u', host: 'h', nowMs: 1e12 };
  const marker = encodeSessionMarker(codec, session);
  return [
    {
      name: 'kopia.repository',
      valid: [blob!],
      decode: (bytes) => {
        decodeFormatBlob(bytes);
        formatReplica(bytes);
      },
    },
    {
      name: 'format of contents',
      valid: [config],
      decode: (bytes) => parseContentFormat(parseJson(text(bytes)), { nowMs: 0 }),
    },
    {
      name: 'kopia.blobcfg',
      valid: [encodeBlobcfg({ mode: 'GOVERNANCE', periodMs: 400 * dayMs }), encodeBlobcfg(undefined)],
      decode: decodeBlobcfg,
    },
    {
      name: 'session marker',
      valid: [codec.openNamed(marker.id, marker.bytes)],
      decode: (bytes) => {
        const { id, bytes: sealed } = codec.sealNamed('s', session.sessionId, bytes);
        decodeSessionMarker(codec, id, sealed);
      },
    },
    { name: 'compaction log', valid: [Buffer.from(log)], decode: (bytes) => decodeCompactionLog(blobId('m1'), bytes) },
    {
      name: 'cleanup entry',
      valid: [Buffer.from(cleanup)],
      decode: (bytes) => decodeCleanupEntry(blobId('l1'), bytes),
    },
  ];
}

function snapshotTargets(): FuzzTarget[] {
  return [
    {
      name: 'manifests',
      valid: examples('manifests'),
      decode: (bytes) => {
        for (const entry of decodeManifestContent(gzipSync(bytes, { level: 0 }))) {
          if (!entry.deleted) decodeVolumeTags(decodeSnapshot(entry).tags);
        }
      },
    },
    {
      name: 'manifests, compressed',
      valid: examples('manifests').map((bytes) => gzipSync(bytes)),
      decode: decodeManifestContent,
    },
    {
      name: 'directory of an image',
      valid: examples('directory'),
      decode: (bytes) => imageOf(decodeDirectory(bytes), 'the input'),
    },
    {
      name: 'directory, entry by entry',
      valid: examples('directory'),
      decode: async (bytes) => {
        const entries = directoryEntries({ read: async () => bytes }, objectId(`k${contentName}`), { signal });
        await Array.fromAsync(entries);
      },
    },
    { name: 'checkpoint', valid: examples('checkpoint'), decode: decodeCheckpoint },
    {
      name: 'tags of a volume',
      valid: examples('tags'),
      decode: (bytes) => {
        const members = parseJson(text(bytes));
        const tags = isJsonObject(members) ? Object.entries(members) : [];
        const texts = tags.map(
          ([key, value]) => [key, typeof value === 'string' ? value : stringifyJson(value)] as const,
        );
        return decodeVolumeTags(Object.fromEntries(texts));
      },
    },
  ];
}

function objectTargets(): FuzzTarget[] {
  const list = objectId(`Ix${contentName}`);
  return [
    { name: 'list of an object', valid: examples('list'), decode: (bytes) => decodeIndirect(bytes) },
    {
      name: 'leaves of an object',
      valid: examples('node'),
      decode: async (bytes) => {
        // What the list names is the list again: it must not be followed for ever.
        const found = leaves({ read: async () => bytes }, list, { signal });
        let batches = 0;
        for await (const batch of found) if ((batches += batch.length) > 10_000) break;
      },
    },
    {
      name: 'node of a volume',
      valid: examples('node'),
      decode: async (bytes) =>
        await readNode({ read: async () => bytes }, { node: list, lengthBytes: 2_097_157, signal }),
    },
    {
      name: 'list of nodes',
      valid: examples('piece').slice(0, 1),
      decode: (bytes) => decodePiece(0, { bytes, sizeBytes: 2_097_157 }),
    },
  ];
}

function plainTargets(): FuzzTarget[] {
  const shown = jsonObject({ a: [1, 2.5, -3n, '\u{1f600}', null, true], b: { c: 'd' } });
  return [
    {
      name: 'JSON',
      valid: [Buffer.from(stringifyJson(shown)), ...examples('directory')],
      decode: (bytes) => stringifyJson(parseJson(text(bytes))),
    },
    {
      name: 'elements of a JSON array',
      valid: examples('directory'),
      decode: (bytes) => {
        const elements = new JsonElements({ member: 'entries', elementBytesMax: 4096, outerBytesMax: 4096 });
        for (let at = 0; at < bytes.length; at += 97) elements.push(bytes.subarray(at, at + 97));
        elements.end();
      },
    },
    { name: '.shards', valid: examples('shards'), decode: (bytes) => decodeShards(text(bytes)) },
    { name: '.storageconfig', valid: examples('storageconfig'), decode: (bytes) => decodeStorageConfig(text(bytes)) },
    { name: 'list of changes', valid: [Buffer.from(changes)], decode: (bytes) => parseChangeList(text(bytes)) },
  ];
}
