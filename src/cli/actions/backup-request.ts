/** What every backup is asked for in the same way, whatever its source. */
import type { BackupRequest } from '../../transfer/backup-request.ts';
import type { BackupOptions } from '../backup.ts';
import type { CliContext } from '../shell/cli-context.ts';
import type { Progress } from '../shell/progress.ts';
import { type OpenRepository, workersOf } from './open-repository.ts';

type Shared = Pick<
  BackupRequest,
  'parent' | 'trustChanges' | 'strict' | 'tags' | 'compression' | 'layout' | 'store' | 'parallel'
> &
  Pick<BackupRequest, 'onProgress' | 'onWarning' | 'signal'>;

export function backupRequest(
  { log, signal }: CliContext,
  options: BackupOptions,
  { opened, progress }: { readonly opened: OpenRepository; readonly progress: Progress },
): Shared {
  const { parent, trustChanges, strict, tags, compression, layout } = options;
  return {
    parent: parent === 'auto' || parent === 'none' ? parent : { snapshot: parent },
    trustChanges,
    strict,
    tags,
    compression,
    layout: layout === 'flat' ? 'flat-1' : 'tree-1',
    store: opened.store,
    parallel: workersOf(options),
    onProgress: ({ doneBytes, newBytes, packedBytes }, totalBytes) =>
      progress.update({
        phase: 'backup',
        doneBytes,
        totalBytes,
        changedBytes: newBytes,
        storedBytes: packedBytes,
      }),
    onWarning: (text) => log.warn(text),
    signal,
  };
}
