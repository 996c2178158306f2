/** What a process's mountinfo says (proc_pid_mountinfo(5)). The names in it are what somebody mounted and called so. */
export interface Mount {
  /** One at a time has it, in all namespaces. */
  readonly id: string;
  /** `major:minor` of the file system's device; a virtual one for btrfs. */
  readonly device: string;
  readonly mountPoint: string;
  /** Of the file system, such as `xfs`. */
  readonly type: string;
  /** What was mounted, often a device's path: whoever mounts a file system without a device says what he likes. */
  readonly source: string;
  /** The file system itself takes writes, even if this mount point does not. */
  readonly writable: boolean;
}

/** Lines that make no sense are skipped. */
export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [front, back] = line.split(' - ');
    const fields = front?.split(' ') ?? [];
    const [type, source, superOptions] = back?.split(' ') ?? [];
    const [id, , device, , mountPoint] = fields;
    if (id === undefined || device === undefined || mountPoint === undefined) return [];
    if (type === undefined || source === undefined) return [];
    const writable = (superOptions ?? 'rw').split(',').includes('rw');
    return [{ id, device, mountPoint: unescapeOctal(mountPoint), type, source: unescapeOctal(source), writable }];
  });
}

/** Blanks, tabs, line ends and backslashes are octal numbers in the tables of /proc. */
export function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
