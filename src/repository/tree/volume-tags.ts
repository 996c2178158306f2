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
  /** How the changes were found: a rung of the ladder, and why no better one. */
  readonly rung?: string | undefined;
  readonly reason?: string | undefined;
  /** Where the next run's audit of unchanged chunks begins. */
  readonly auditCursor?: number | undefined;
  /** A later audit caught the rung missing a change: this snapshot may lack one. */
  readonly suspect?: string | undefined;
}

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
} as const satisfies Record<keyof VolumeTags, string>;

type Tags = Readonly<Record<string, string>>;

export function encodeVolumeTags(tags: VolumeTags): Tags {
  const result: Record<string, string> = {};
  for (const key of Object.keys(names) as (keyof VolumeTags)[]) {
    const value = tags[key];
    if (value !== undefined) result[names[key]] = String(value);
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
  };
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
