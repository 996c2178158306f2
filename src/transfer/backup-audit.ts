/**
 * Reads again a rotating sample of the chunks that a change source calls unchanged, and compares their ids with the
 * parent's. At most 64 MiB a run; every chunk is covered after ceil(chunks ÷ 64) runs (`changes/audit-plan.ts`).
 */
import { planAudit } from '../changes/audit-plan.ts';
import { contentIdOf } from '../repository/content/content-id.ts';
import type { Repository } from '../repository/repository.ts';
import type { VolumeBuilder } from '../repository/tree/volume-builder.ts';
import { leafBytes, leafCount, leafLength, nodeLeaves } from '../repository/tree/volume-layout.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import type { AuditResult } from './backup-request.ts';
import type { BackupRun } from './backup-run.ts';

const sampleChunksMax = 64;

export async function auditUnchanged(
  parts: { readonly repository: Repository; readonly run: BackupRun; readonly tree: VolumeBuilder },
  options: { readonly sizeBytes: number; readonly changed: readonly Extent[]; readonly cursor: number },
): Promise<AuditResult & { readonly nextCursor: number }> {
  const { sizeBytes, changed, cursor } = options;
  const isChanged = leafTest(changed);
  const plan = planAudit({ chunks: leafCount(sizeBytes), sampleChunks: sampleChunksMax, cursor, isChanged });
  const { codec } = parts.repository;
  const missed: number[] = [];
  const checks = plan.chunks.map(async (leaf) => {
    const lengthBytes = leafLength(leaf, sizeBytes);
    const [present] = await parts.run.hash(extent(leaf * leafBytes, lengthBytes));
    const base = await parts.tree.baseLeaves(Math.floor(leaf / nodeLeaves));
    const expected = base[leaf % nodeLeaves] ?? contentIdOf('', codec.hash(new Uint8Array(lengthBytes)));
    if (present !== expected) missed.push(leaf * leafBytes);
  });
  await Promise.all(checks);
  return { chunks: plan.chunks.length, missed: missed.toSorted((a, b) => a - b), nextCursor: plan.nextCursor };
}

/** Whether a leaf touches any of the extents, which are normal. */
function leafTest(changed: readonly Extent[]): (leaf: number) => boolean {
  return (leaf) => {
    const start = leaf * leafBytes;
    let low = 0;
    let high = changed.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (extentEnd(changed[middle]!) <= start) low = middle + 1;
      else high = middle;
    }
    const next = changed[low];
    return next !== undefined && next.offset < start + leafBytes;
  };
}
