/**
 * Which unchanged chunks a run reads again to catch a change source that lies. The sample is bounded, and rotates:
 * chunks are taken in the order of a fixed permutation of the whole volume, from a cursor that each run hands to the
 * next, so that every chunk has been looked at after ceil(chunks ÷ sample) runs.
 *
 * The permutation is a stride coprime to the number of chunks, near its golden section: neighbours in the order lie far
 * apart, so one sample is spread over the whole volume.
 */

export interface AuditPlan {
  /** Chunk numbers to read, without duplicates. */
  readonly chunks: readonly number[];
  /** Where the next run begins. */
  readonly nextCursor: number;
}

export interface AuditOptions {
  readonly chunks: number;
  /** Chunks to look at in this run, at most. */
  readonly sampleChunks: number;
  /** `nextCursor` of the run before; 0 for the first. */
  readonly cursor: number;
  /** Chunks that this run reads anyway. They use up no sample, but the cursor passes them. */
  readonly isChanged: (chunk: number) => boolean;
}

/** Changed chunks that the cursor may pass in one run before it stops looking for unchanged ones. */
const passedMax = 1 << 16;

export function planAudit({ chunks, sampleChunks, cursor, isChanged }: AuditOptions): AuditPlan {
  if (chunks === 0) return { chunks: [], nextCursor: 0 };
  const stride = coprimeStride(chunks);
  const sample: number[] = [];
  let position = cursor % chunks;
  const steps = Math.min(chunks, sampleChunks + passedMax);
  for (let step = 0; step < steps && sample.length < sampleChunks; step++) {
    const chunk = Number((BigInt(position) * BigInt(stride)) % BigInt(chunks));
    if (!isChanged(chunk)) sample.push(chunk);
    position = (position + 1) % chunks;
  }
  return { chunks: sample, nextCursor: position };
}

function coprimeStride(chunks: number): number {
  let stride = Math.max(1, Math.floor(chunks * 0.6180339887));
  while (greatestCommonDivisor(stride, chunks) !== 1) stride++;
  return stride;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
