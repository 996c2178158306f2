/**
 * Owner, mode and times of what is restored. The times are set last of all, when the bytes are whole: so a file that has
 * its snapshot's time of writing has everything else of it too, which is what a resumed restore goes by.
 */
import { setMode, setOwner, setOwnerAt, setTimes, setTimesAt, type FileTime } from '../kernel/folder-calls.ts';

export interface FileAttributes {
  /** As `chmod` takes it: permissions, setuid, setgid, sticky. Links have none. */
  readonly mode: number;
  /** Absent: whoever restores owns it. */
  readonly owner: FileOwner | undefined;
  readonly modified: FileTime;
}

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/** Of an open file or folder. @throws {KernelError} */
export function applyAttributes(fd: number, { mode, owner, modified }: FileAttributes): void {
  // A change of the owner takes setuid and setgid away.
  if (owner !== undefined) setOwner(fd, owner.uid, owner.gid);
  setMode(fd, mode);
  setTimes(fd, modified);
}

/** Of a link itself. @throws {KernelError} */
export function applyLinkAttributes(folder: number, name: string, { owner, modified }: FileAttributes): void {
  if (owner !== undefined) setOwnerAt(folder, name, owner.uid, owner.gid);
  setTimesAt(folder, name, modified);
}

/** Nanoseconds since 1970 taken apart; moments that no file system of today holds become the nearest that ext4 does. */
export function fileTime(nanoseconds: bigint): FileTime {
  const time = nanoseconds < firstTime ? firstTime : nanoseconds > lastTime ? lastTime : nanoseconds;
  const rest = ((time % perSecond) + perSecond) % perSecond;
  return { seconds: Number((time - rest) / perSecond), nanoseconds: Number(rest) };
}

export function isSameTime(time: FileTime, mtimeNs: bigint): boolean {
  return BigInt(time.seconds) * perSecond + BigInt(time.nanoseconds) === mtimeNs;
}

const perSecond = 1_000_000_000n;
/** The end of ext4's times, 34 bits of seconds from 1901 on. Its first is the first that a 32-bit number of seconds has. */
const firstTime = -2_147_483_648n * perSecond;
const lastTime = 15_032_385_535n * perSecond + 999_999_999n;
