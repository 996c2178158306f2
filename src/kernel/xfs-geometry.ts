/** How an XFS was made (xfs_fs.h, `struct xfs_fsop_geom`). */
import { ioctl, KernelError } from './sys.ts';

const XFS_IOC_FSGEOMETRY = 0x8100587e;
const XFS_FSOP_GEOM_FLAGS_RMAPBT = 2 ** 19;
const geometryBytes = 256;
const flagsAt = 92;

/** Whether an open file lies on an XFS. @throws {KernelError} */
export function isXfs(fd: number): boolean {
  return geometryOf(fd) !== undefined;
}

/**
 * Whether the file system of an open file is an XFS that notes the owner of each block (`rmapbt=1`): then each extent of a clone, and
 * each first write after it, is noted once more. @throws {KernelError}
 */
export function keepsReverseMap(fd: number): boolean {
  const flags = geometryOf(fd)?.readUInt32LE(flagsAt) ?? 0;
  return (flags & XFS_FSOP_GEOM_FLAGS_RMAPBT) !== 0;
}

function geometryOf(fd: number): Buffer | undefined {
  const geometry = Buffer.alloc(geometryBytes);
  try {
    ioctl(fd, XFS_IOC_FSGEOMETRY, geometry);
  } catch (error) {
    // Others have no such call.
    if (error instanceof KernelError && error.code === 'kernel-unsupported') return undefined;
    throw error;
  }
  return geometry;
}
