/** What a backup is asked to do, and what it has done. */
import type { BlobStoreLocation } from '../blobs/location.ts';
import type { ChangeList } from '../changes/change-list.ts';
import type { Changes, PassedOver } from '../changes/changes.ts';
import type { ChangeOffer } from '../changes/ladder.ts';
import type { CompressorName } from '../repository/content/compression.ts';
import type { SnapshotId } from '../repository/manifest/snapshot.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import type { Identity, Repository } from '../repository/repository.ts';
import type { Layout } from '../repository/tree/volume-layout.ts';
import type { SourceTags, VolumeTags } from '../repository/tree/volume-tags.ts';
import type { Clock } from '../std/clock.ts';
import { DrayError } from '../std/dray-error.ts';
import type { BlockSource } from '../volume/block-source.ts';
import type { BackupCounts } from './backup-run.ts';
import type { StoreWorkers } from './store-messages.ts';

/**
 * - `degraded`: with `strict`, the run would have had to fall back, so it did not begin.
 * - `compressor-unsupported`: the policy names a compressor that this version does not have.
 */
export class BackupError extends DrayError<'degraded' | 'compressor-unsupported'> {}

export interface BackupParts {
  readonly repository: Repository;
  readonly source: BlockSource;
  readonly clock: Clock;
  readonly identity: Identity;
  /** Those of the repository, loaded just now and changed by nobody of ours since; absent: they are loaded. */
  readonly manifests?: ManifestSet | undefined;
}

/** The earlier snapshots of the same volume: its parent is among them, its checkpoints, and what an audit has found. */
export interface Lineage {
  readonly source: Partial<SnapshotSource>;
  /** Whether an offer may know the changes since: the newest such snapshot is rather the parent than the newest of all. */
  readonly canServe: (tags: VolumeTags) => boolean;
}

export interface BackupRequest {
  readonly origin: SnapshotSource;
  /** Absent: the snapshots of `origin`, by their age. */
  readonly lineage?: Lineage | undefined;
  /** Names one frozen state of the source; absent: a regular file's own fingerprint. */
  readonly sourceId?: string | undefined;
  /** `auto`: the newest complete snapshot of the lineage. */
  readonly parent: 'auto' | 'none' | { readonly snapshot: string };
  readonly changeList?: ChangeList | undefined;
  readonly trustMtime: boolean;
  /** Other ways to learn what has changed; the best that can serve is used. */
  readonly offers: readonly ChangeOffer[];
  /** Rungs that an audit has caught are used again from this run on. */
  readonly trustChanges: boolean;
  /** Refuse, before work begins, when a better rung was asked for or on offer than the one that can serve. */
  readonly strict: boolean;
  /** The source may be written meanwhile; the snapshot is then no single point in time. */
  readonly allowChanges: boolean;
  /** The user's, without prefix. */
  readonly tags: Readonly<Record<string, string>>;
  /** What the snapshot is of, for later offers to know. */
  readonly sourceTags?: SourceTags | undefined;
  readonly compression?: CompressorName | undefined;
  readonly layout: Layout;
  readonly store: BlobStoreLocation;
  readonly parallel: number;
  /** As many as `parallel`, loading already. The caller closes them. */
  readonly workers?: StoreWorkers | undefined;
  /** What an interruption may cost at most, in bytes read again; absent: what follows from the work. */
  readonly checkpointBytes?: number | undefined;
  readonly onProgress: (counts: BackupCounts, totalBytes: number) => void;
  /** Something the user must know although the run goes on. */
  readonly onWarning: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface BackupResult {
  readonly snapshot: SnapshotId;
  readonly parent: SnapshotId | undefined;
  readonly changes: Changes;
  /** Better rungs that did not serve, best first; one that the audit has caught comes last. */
  readonly passedOver: readonly PassedOver[];
  /** What the rung said may have changed; absent for a scan. */
  readonly reportedBytes: number | undefined;
  readonly resumed: boolean;
  readonly sizeBytes: number;
  /** Bytes of chunks whose ids differ from the parent's; absent without a parent. */
  readonly changedBytes: number | undefined;
  readonly counts: BackupCounts;
  readonly audit: AuditResult | undefined;
}

export interface AuditResult {
  /** Chunks called unchanged that were read again. */
  readonly chunks: number;
  /** Offsets of those that had changed. */
  readonly missed: readonly number[];
}
