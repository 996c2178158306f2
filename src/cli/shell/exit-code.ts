/**
 * What a shell or a scheduler learns from a run: one small set of statuses, the same for every command. The outermost
 * code of an error's chain that this table knows decides, because the layers above know best what a failure means.
 */
import type { BlobError } from '../../blobs/blob-store.ts';
import type { ChangesError } from '../../changes/changes.ts';
import type { FreezeError } from '../../kernel/freeze-guard.ts';
import type { MaintenanceError } from '../../maintenance/maintenance-error.ts';
import type { NbdError } from '../../nbd/nbd-error.ts';
import type { PoolError } from '../../pool/pool-error.ts';
import type { RepositoryError } from '../../repository/repository-error.ts';
import { DrayError } from '../../std/dray-error.ts';
import type { BackupError } from '../../transfer/backup-request.ts';
import type { VolumeError } from '../../volume/block-source.ts';
import type { CliError, Interrupted } from './cli-error.ts';

export const exitCodes = {
  done: 0,
  failed: 1,
  /** Wrong usage: the command line cannot be obeyed as it is. */
  usage: 2,
  notFound: 3,
  /** Data failed verification. */
  damaged: 4,
  /** In use by something else, or fenced. */
  busy: 5,
  /** Done, but not in the way that was asked for; only with `--strict`. */
  degraded: 6,
  interrupted: 130,
  /** As a shell tells of a program that SIGPIPE has ended: whoever read the output is gone, and so is what was to be told. */
  readerGone: 141,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Every code that reaches the user by name. A code that is missing here does not compile. */
export type KnownCode = (
  | CliError
  | Interrupted
  | BlobError
  | VolumeError
  | NbdError
  | RepositoryError
  | ChangesError
  | BackupError
  | MaintenanceError
  | PoolError
  | FreezeError
)['code'];

const { failed, usage, notFound, damaged, busy, degraded, interrupted } = exitCodes;

const exitCodeByCode: Readonly<Record<KnownCode, ExitCode>> = {
  usage,
  'name-ambiguous': usage,
  'password-missing': usage,
  'password-source': failed,
  'password-spaces': usage,
  'need-missing': notFound,
  'need-ambiguous': usage,
  'revert-unsaved': failed,
  'tour-failed': failed,
  interrupted,

  'blob-not-found': notFound,
  'blob-exists': busy,
  'blob-range': damaged,
  'blob-denied': failed,
  'blob-read-only': failed,
  'blob-no-space': failed,
  'blob-name': failed,
  'blob-location': usage,
  'blob-layout': failed,
  'blob-store-missing': notFound,
  'blob-credentials': failed,
  'blob-clock': failed,
  'blob-tls': failed,
  'blob-proxy': failed,
  'blob-locked': failed,
  'blob-no-lock': failed,
  'blob-unavailable': failed,

  'volume-not-found': notFound,
  'volume-denied': failed,
  'volume-kind': usage,
  'volume-range': failed,
  'volume-changed': failed,
  'volume-busy': busy,
  'volume-too-small': failed,
  'volume-exists': failed,
  'volume-no-space': failed,
  'volume-read-only': failed,
  'volume-io': failed,

  'nbd-url': usage,
  'nbd-unreachable': failed,
  'nbd-export-missing': notFound,
  'nbd-refused': failed,
  'nbd-too-large': failed,
  'nbd-tls': failed,
  'nbd-protocol': failed,
  'nbd-io': failed,

  'repository-missing': notFound,
  'repository-foreign': failed,
  'repository-exists': failed,
  'repository-password': failed,
  'repository-version': failed,
  'repository-locked': busy,
  unsupported: failed,
  corrupt: damaged,
  'content-missing': damaged,
  'snapshot-missing': notFound,
  'snapshot-ambiguous': usage,
  'snapshot-kind': usage,
  'path-missing': notFound,
  'snapshot-pinned': busy,
  'index-conflict': busy,
  'index-cache': failed,

  'changes-invalid': usage,
  'changes-incomparable': failed,

  degraded,
  'compressor-unsupported': failed,

  'maintenance-owner': busy,
  'maintenance-clock': failed,
  'maintenance-running': busy,
  'maintenance-late': failed,

  'pool-missing': notFound,
  'pool-foreign': failed,
  'pool-foreign-file': failed,
  'pool-exists': failed,
  'pool-version': failed,
  'pool-reflink': failed,
  'pool-image': failed,
  'pool-mkfs': failed,
  'pool-damaged': damaged,
  'pool-busy': busy,
  'pool-io': failed,
  'pool-reserve': failed,
  'pool-no-space': failed,
  'pool-name': usage,
  'pool-size': usage,
  'pool-volume-missing': notFound,
  'pool-volume-exists': failed,
  'pool-volume-deleted': failed,
  'pool-snapshot-missing': notFound,
  'pool-snapshot-exists': failed,
  'pool-in-use': busy,
  'pool-needed': busy,
  'pool-has-snapshots': failed,
  'pool-shrink': failed,
  'pool-freeze': failed,
  'pool-leftover': failed,
  'pool-not-durable': failed,

  'freeze-refused': failed,
  'freeze-timeout': busy,
  'freeze-guard-lost': failed,
  'freeze-stuck': failed,
};

/** The exit status of a command that ended with this error. */
export function exitCodeOf(error: unknown): ExitCode {
  const code = knownCodeOf(error);
  return code === undefined ? failed : exitCodeByCode[code];
}

/** The outermost code in the chain of causes that the user's side has words for. */
export function knownCodeOf(error: unknown): KnownCode | undefined {
  for (const link of causesOf(error)) {
    if (!(link instanceof DrayError)) continue;
    const code: unknown = link.code;
    if (typeof code === 'string' && Object.hasOwn(exitCodeByCode, code)) return code as KnownCode;
  }
  return undefined;
}

/** Chains are short; the limit keeps one that bites its tail from running for ever. */
const causesMax = 20;

/**
 * The error, its cause, the cause of that, and so on. A failure while cleaning up stands behind the failure that it hid;
 * of several at once the first speaks for all.
 */
export function causesOf(error: unknown): unknown[] {
  const chain: unknown[] = [];
  let link = error;
  while (link !== undefined && link !== null && chain.length < causesMax && !chain.includes(link)) {
    if (link instanceof SuppressedError) {
      link = link.suppressed as unknown;
      continue;
    }
    chain.push(link);
    link = nextOf(link);
  }
  return chain;
}

function nextOf(link: unknown): unknown {
  if (link instanceof AggregateError) return link.cause ?? link.errors[0];
  return link instanceof Error ? link.cause : undefined;
}
