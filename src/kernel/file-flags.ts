/** What a file system is told about one file: how it lays it out. Numbers and shapes from linux/fs.h. */
import { ioctl, KernelError } from './sys.ts';

const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;
const FS_XFLAG_EXTSIZE = 0x800;
const FS_XFLAG_COWEXTSIZE = 0x10000;
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_COMPR_FL = 0x4;
const FS_NOCOMP_FL = 0x400;

/**
 * Has the file system allocate in pieces of `bytes`, a multiple of its block, also where a write unshares what a clone
 * shares: fewer extents, so shorter clones. The first part is possible only in a file that has no extents yet; in others
 * this sets the second alone. XFS only. @throws {KernelError} `kernel-unsupported`
 */
export function setAllocationHint(fd: number, bytes: number): void {
  const attributes = Buffer.alloc(28);
  ioctl(fd, FS_IOC_FSGETXATTR, attributes);
  const isEmpty = attributes.readUInt32LE(8) === 0;
  const flags = attributes.readUInt32LE(0) | FS_XFLAG_COWEXTSIZE | (isEmpty ? FS_XFLAG_EXTSIZE : 0);
  attributes.writeUInt32LE(flags >>> 0, 0);
  if (isEmpty) attributes.writeUInt32LE(bytes, 4);
  attributes.writeUInt32LE(bytes, 16);
  ioctl(fd, FS_IOC_FSSETXATTR, attributes);
  // ext4 and btrfs take the call and forget what they have no place for.
  ioctl(fd, FS_IOC_FSGETXATTR, attributes);
  if (attributes.readUInt32LE(16) !== bytes) throw new KernelError('set allocation hint', 'EOPNOTSUPP');
}

/** What is written to the file from now on is not compressed: addresses name its bytes. btrfs. @throws {KernelError} */
export function forbidCompression(fd: number): void {
  const flags = Buffer.alloc(8);
  ioctl(fd, FS_IOC_GETFLAGS, flags);
  flags.writeUInt32LE(((flags.readUInt32LE() & ~FS_COMPR_FL) | FS_NOCOMP_FL) >>> 0);
  ioctl(fd, FS_IOC_SETFLAGS, flags);
}
