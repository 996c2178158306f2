import type { BackupOptions } from '../backup.ts';
import { meansVolume } from './means-volume.ts';
import type { RepositoryAction } from './open-repository.ts';

/** Only what the source needs is loaded: a volume's snapshot can be under way before all that stores it is there. */
export const backup: RepositoryAction<BackupOptions> = async (context, options, opening) => {
  if (await meansVolume(context, options.source)) {
    return await (await import('./backup-volume.ts')).backupVolume(context, options, opening);
  }
  return await (await import('./backup-disk.ts')).backupDisk(context, options, opening);
};
