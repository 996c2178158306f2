/**
 * What an unfinished backup has done, as it stands in the second file of its incomplete snapshot: enough for a later
 * run, also on another machine, to tell whether it may go on from there and where. It never claims more than is
 * durable. Kopia sees an ordinary small file.
 */
import * as v from 'valibot';

import { jsonObject } from '../../std/lossless-json.ts';
import { integer, natural, plainObject } from '../../std/schema.ts';
import { stringifyJson } from '../../std/write-json.ts';
import { recordedRangesMax } from '../tree/done-ranges.ts';
import type { RecordedRanges } from '../tree/done-ranges.ts';
import { nodeCount } from '../tree/volume-layout.ts';
import type { Layout } from '../tree/volume-layout.ts';
import { RepositoryError } from '../repository-error.ts';
import { decodeJson } from './json-field.ts';

export interface Checkpoint {
  /** The one state of the source that this is good for. */
  readonly sourceId: string;
  readonly sizeBytes: number;
  readonly layout: Layout;
  /** The snapshot whose tree shows through where nothing is done yet; absent: zeros do. */
  readonly parent?: string | undefined;
  /** What tells one set of changes from another: a run that looks at other extents must not go on from here. */
  readonly changes: string;
  readonly done: RecordedRanges;
}

export const checkpointBytesMax = 65_536;
const version = 1;
const textMax = 4_096;

const text = v.pipe(v.string(), v.maxLength(textMax));
const schema = plainObject({
  version: v.literal(version),
  sourceId: v.pipe(text, v.minLength(1)),
  sizeBytes: natural,
  layout: v.picklist(['tree-1', 'flat-1']),
  parent: v.optional(text),
  changes: text,
  watermark: natural,
  ranges: v.pipe(v.array(v.strictTuple([natural, v.pipe(integer, v.minValue(1))])), v.maxLength(recordedRangesMax)),
});

export function encodeCheckpoint({ sourceId, sizeBytes, layout, parent, changes, done }: Checkpoint): Uint8Array {
  const { watermark, ranges } = done;
  const pairs = ranges.map(({ first, nodes }) => [first, nodes]);
  const value = jsonObject({ version, sourceId, sizeBytes, layout, parent, changes, watermark, ranges: pairs });
  return Buffer.from(`${stringifyJson(value)}\n`);
}

/** @throws {RepositoryError} `corrupt`, also for ranges that overlap or lie past the volume's end */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  if (bytes.length > checkpointBytesMax) throw new RepositoryError('corrupt', `checkpoint: ${bytes.length} bytes`);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const {
    sourceId,
    sizeBytes,
    layout,
    parent,
    changes,
    watermark,
    ranges: pairs,
  } = decodeJson(schema, text, 'checkpoint');
  const ranges = pairs.map(([first, nodes]) => ({ first, nodes }));
  let end = watermark;
  for (const [index, { first, nodes }] of ranges.entries()) {
    if (first <= end && (index > 0 || watermark > 0))
      throw new RepositoryError('corrupt', 'checkpoint: ranges overlap');
    end = first + nodes;
  }
  if (end > nodeCount(sizeBytes)) throw new RepositoryError('corrupt', 'checkpoint: ranges end past the volume');
  return { sourceId, sizeBytes, layout, parent, changes, done: { watermark, ranges } };
}
