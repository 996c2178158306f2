/** A process with a mount namespace of its own, as a container has: what it mounts nobody else sees. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface ContainerOptions {
  /** To be mounted there, and nowhere else. */
  readonly device?: string;
  readonly mountPoint: string;
  /** Its process sees nothing but what lies in this folder, in which the mount point is. */
  readonly chroot?: string;
  /** What it calls itself. */
  readonly name?: string;
}

export interface Container extends AsyncDisposable {
  readonly pid: number;
  /** Ends its only process, and with that its mounts. */
  readonly kill: () => Promise<void>;
}

/** It ends with this process too. The mounts of other tests are left to them: copies would keep their devices in use. One that lies in another goes with it. */
const script = `
device=$1 place=$2 root=$3 name=$4
while read -r source point _; do
  case $source in /dev/loop*) umount -l "$point" 2>/dev/null ;; esac
done < /proc/self/mounts
if [ -n "$device" ]; then mount "$device" "$place" || exit; fi
if [ -n "$root" ]; then
  mkdir -p "$root/usr" && mount --bind /usr "$root/usr" || exit
  for folder in bin lib lib64; do [ -e "$root/$folder" ] || ln -s "usr/$folder" "$root/$folder"; done
  exec chroot "$root" /usr/bin/sh -c 'echo mounted && exec cat'
fi
printf %s "$name" > /proc/self/comm
echo mounted
while read -r _; do :; done
`;

export async function startContainer({
  device = '',
  mountPoint,
  chroot = '',
  name = 'database',
}: ContainerOptions): Promise<Container> {
  const args = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', device, mountPoint, chroot, name];
  const child = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => undefined);
  const closed = once(child, 'close');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  const [word] = (await Promise.race([once(child.stdout, 'data'), closed])) as [unknown];
  if (!(word instanceof Buffer) || child.pid === undefined) throw new Error('the container has ended');
  return { pid: child.pid, kill, [Symbol.asyncDispose]: kill };
}
