/**
 * One maintenance of a repository at a time on this machine: a file beside the cache, locked for as long as this process
 * holds it open, and so let go of by its death. Processes with different cache folders, and other machines, do not see
 * it: what keeps those apart is the owner, and what keeps data safe all the same are the rules of `safety.ts`.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { tryLock } from '../kernel/sys.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { makeDirectories } from '../std/atomic-write.ts';
import { MaintenanceError } from './maintenance-error.ts';

/** @throws {MaintenanceError} `maintenance-running`; {RepositoryError} `index-cache` */
export async function lockMaintenance(folder: string): Promise<AsyncDisposable> {
  const path = join(folder, 'maintenance.lock');
  try {
    await makeDirectories(folder, { mode: 0o700 });
    const file = await open(path, 'a', 0o600);
    if (tryLock(file.fd)) return file;
    await file.close();
  } catch (cause) {
    throw new RepositoryError('index-cache', `lock ${path}`, { cause });
  }
  throw new MaintenanceError('maintenance-running', `another process of this machine holds ${path}`);
}
