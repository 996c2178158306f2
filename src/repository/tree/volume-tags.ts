/**
 * What a snapshot of a volume says beyond Kopia's own words, as tags, which are labels of the manifest as well. Ours
 * begin with `dray:`. Velero's block mover says some of the same under names of its own, which are understood.
 */
import type { Layout } from './volume-layout.ts';

export interface VolumeTags {
  /** Absent: not ours, so any tree. */
  readonly layout?: Layout | undefined;
  /** The volume's real size in bytes; the image in the directory may be padded. */
  readonly sizeBytes?: number | undefined;
  /** One state of the source: equal ids mean that nothing was written in between. */
  readonly sourceId?: string | undefined;
  /** What the source of changes calls this state. */
  readonly changeId?: string | undefined;
  /** The snapshot that the changes were found against. */
  readonly parent?: string | undefined;
  /** How the changes were found: a rung of the ladder, and what it says for itself. */
  readonly rung?: string | undefined;
  readonly reason?: string | undefined;
  /** Better rungs that were asked for or on offer and could not serve, each with its reason. */
  readonly passedOver?: string | undefined;
  /** What the rung said may have changed, in bytes. */
  readonly changedBytes?: number | undefined;
  /** What the run's data took in the repository, in bytes, without what names it. */
  readonly storedBytes?: number | undefined;
  /** What came of the audit. */
  readonly audit?: string | undefined;
  /** Where the next run's audit of unchanged chunks begins. */
  readonly auditCursor?: number | undefined;
  /** A later audit caught the rung missing a change: this snapshot may lack one. */
  readonly suspect?: string | undefined;
  /** Rungs that were caught: not used before somebody says that they are mended. Sorted. */
  readonly untrusted?: readonly string[] | undefined;
  /** The volume of a pool that this is the state of, and the pool's snapshot that it was read from. */
  readonly pool?: string | undefined;
  readonly poolVolume?: string | undefined;
  readonly poolSnapshot?: string | undefined;
  /** The export that it was read from, and the dirty bitmaps that had begun by then; on the newest snapshot of an export alone. */
  readonly bitmap?: string | undefined;
  /** How the source stood still while it was taken. */
  readonly consistency?: string | undefined;
  /** The logical sector that it was used with. */
  readonly sectorBytes?: 512 | 4096 | undefined;
}

/** What only the caller of a backup knows of its source. */
export type SourceTags = Pick<
  VolumeTags,
  'pool' | 'poolVolume' | 'poolSnapshot' | 'bitmap' | 'consistency' | 'sectorBytes'
>;

const names = {
  layout: 'dray:layout',
  sizeBytes: 'dray:size',
  sourceId: 'dray:source-id',
  changeId: 'dray:change-id',
  parent: 'dray:parent',
  rung: 'dray:rung',
  reason: 'dray:reason',
  auditCursor: 'dray:audit-cursor',
  suspect: 'dray:suspect',
  passedOver: 'dray:passed-over',
  changedBytes: 'dray:changed-bytes',
  storedBytes: 'dray:stored-bytes',
  audit: 'dray:audit',
  untrusted: 'dray:untrusted',
  pool: 'dray:pool',
  poolVolume: 'dray:pool-volume',
  poolSnapshot: 'dray:pool-snapshot',
  bitmap: 'dray:bitmap',
  consistency: 'dray:consistency',
  sectorBytes: 'dray:sector-size',
} as const satisfies Record<keyof VolumeTags, string>;

type Tags = Readonly<Record<string, string>>;

export function encodeVolumeTags(tags: VolumeTags): Tags {
  const result: Record<string, string> = {};
  for (const key of Object.keys(names) as (keyof VolumeTags)[]) {
    const value = tags[key];
    // An empty list is written as no tag; a list joins with commas.
    if (value !== undefined && String(value) !== '') result[names[key]] = String(value);
  }
  return result;
}

/** Tags that are missing or make no sense are absent. */
export function decodeVolumeTags(tags: Tags): VolumeTags {
  const layout = tags[names.layout];
  return {
    layout: layout === 'tree-1' || layout === 'flat-1' ? layout : undefined,
    sizeBytes: size(tags[names.sizeBytes] ?? tags['bdev-source-size']),
    sourceId: tags[names.sourceId],
    changeId: tags[names.changeId] ?? tags['cbt-change-id'],
    parent: tags[names.parent],
    rung: tags[names.rung],
    reason: tags[names.reason],
    auditCursor: size(tags[names.auditCursor]),
    suspect: tags[names.suspect],
    passedOver: tags[names.passedOver],
    changedBytes: size(tags[names.changedBytes]),
    storedBytes: size(tags[names.storedBytes]),
    audit: tags[names.audit],
    untrusted: list(tags[names.untrusted]),
    pool: tags[names.pool],
    poolVolume: tags[names.poolVolume],
    poolSnapshot: tags[names.poolSnapshot],
    bitmap: tags[names.bitmap],
    consistency: tags[names.consistency],
    sectorBytes: sector(tags[names.sectorBytes]),
  };
}

/** The tags of a snapshot that is not the newest of its export any more. */
export function withoutBitmaps(tags: Tags): Tags {
  return Object.fromEntries(Object.entries(tags).filter(([name]) => name !== names.bitmap));
}

/** True for a tag that users cannot set. */
export function isReservedTag(name: string): boolean {
  return name.startsWith('dray:');
}

function size(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,16}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

function sector(text: string | undefined): 512 | 4096 | undefined {
  if (text === '512') return 512;
  return text === '4096' ? 4096 : undefined;
}

function list(text: string | undefined): readonly string[] | undefined {
  const found = text?.split(',').filter((word) => word !== '');
  return found === undefined || found.length === 0 ? undefined : found;
}
