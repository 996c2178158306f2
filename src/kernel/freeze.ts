/**
 * Stops the writers of a mounted file system at a point where all is written out, until it is thawed. A freeze outlives
 * the process that asked for it, and whoever wrote hangs until somebody thaws it: only the process of a `FreezeGuard` freezes.
 */
import { ioctlAsync, KernelError } from './sys.ts';

const FIFREEZE = 0xc0045877;
const FITHAW = 0xc0045878;

/**
 * Freezes the file system of an open folder. It cannot be interrupted, and takes as long as writing out what is dirty.
 * @throws {KernelError} `kernel-busy` when somebody froze it before; `kernel-unsupported`, `kernel-denied`
 */
export async function freezeFileSystem(fd: number): Promise<void> {
  await ioctlAsync(fd, FIFREEZE, null);
}

/** @returns whether it was frozen, by whomever. @throws {KernelError} */
export async function thawFileSystem(fd: number): Promise<boolean> {
  try {
    await ioctlAsync(fd, FITHAW, null);
    return true;
  } catch (error) {
    if (error instanceof KernelError && error.errno === 'EINVAL') return false;
    throw error;
  }
}
