/**
 * A failure as the user reads it: what was attempted and on what, why it failed down to the system's own word, and what to
 * do next. Messages do not repeat their causes, so the chain is printed link by link. Advice lives only here.
 */
import { isErrno } from '../../std/atomic-write.ts';
import { DrayError } from '../../std/dray-error.ts';
import { errnoOf, nameErrno } from '../../std/errno.ts';
import { causesOf, type KnownCode, knownCodeOf } from './exit-code.ts';
import { printable } from './printable.ts';

const adviceByCode: Readonly<Record<KnownCode, string | undefined>> = {
  usage: 'Add --help to the command to see what it takes.',
  'name-ambiguous':
    'A word with a slash is always a file; with --pool on the command line, any other is always a volume.',
  'password-missing': 'Set DRAY_PASSWORD, or use --password-file FILE or --password-command COMMAND.',
  'password-source': 'Check that the file can be read, or that the command prints the password and ends with status 0.',
  'password-spaces': 'Choose a password that neither begins nor ends with white space; inside it does no harm.',
  'need-ambiguous':
    'One of them may be in use: name the one that is meant by its id ("dray repository status" shows that of one that is there).',
  'need-missing': '"dray pool status" shows the repositories that snapshots are kept for.',
  'revert-unsaved':
    'Take a snapshot of it first ("dray snapshot create"), and nothing is lost; or say --force to lose it.',
  'tour-failed':
    'The tour stops at the first thing that is not as it says. Run it again with --keep and look at the folder.',
  interrupted: 'Nothing is lost: run the same command again and it goes on from where it stopped.',

  'blob-not-found': 'If the repository should be there, check its URL; "dray repository verify" says what is missing.',
  'blob-exists': 'Something else wrote the same object just now; run the command again.',
  'blob-range':
    'An object is shorter than the index says; "dray repository verify --level present" names all that are.',
  'blob-denied': 'Check who may read and write the repository, or run as the user who owns it.',
  'blob-read-only': 'The repository can be read but not written: mount it read-write, or use another one.',
  'blob-no-space':
    'Make room where the repository lies and run the command again; what a checkpoint has kept is not done again.',
  'blob-name': 'The store holds an object whose name no repository uses; it may not be a repository.',
  'blob-location':
    'Write a repository as a path, such as /backups, as file:///backups, or as s3://BUCKET/PREFIX with endpoint=https://HOST ' +
    'when it is not AWS, and region=REGION.',
  'blob-layout':
    'The store is laid out as no known kopia does: restore the .shards file of a folder, mend or remove the .storageconfig of a bucket.',
  'blob-store-missing': 'Make the bucket first, or check its name, the endpoint and the region in the URL.',
  'blob-credentials':
    'Give keys that are good now where AWS tools look for them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with ' +
    'AWS_SESSION_TOKEN for temporary ones), AWS_PROFILE, or the role of this machine. Then run the command again.',
  'blob-clock': "Set this machine's clock, or the server's, and run the command again.",
  'blob-tls':
    'Give the authority that signed its certificate with ca=FILE in the URL. An endpoint without TLS begins with http:// ' +
    'and needs --no-tls.',
  'blob-proxy':
    'Write the proxy as http://USER:PASSWORD@HOST:PORT in HTTPS_PROXY (HTTP_PROXY for --no-tls), %40 for an @ in the password, and ' +
    'have it allow this server; or name the server in NO_PROXY to go there directly.',
  'blob-locked': 'Nobody can remove it before its retention has passed; then run the command again.',
  'blob-no-lock':
    'Use a bucket that was made with object lock, or a repository without a retention; "dray store check" tells what a bucket can do.',
  'blob-unavailable': 'The store did not answer in time: check the disk or the network, then run the command again.',

  'volume-not-found': 'Check the path; for a volume of a pool, name the pool with --pool (or DRAY_POOL).',
  'volume-denied': 'Reading and writing devices usually needs root: run the command with sudo.',
  'volume-kind': 'Give an image file or a block device.',
  'volume-range': 'The volume is shorter than expected; check that it is the right one.',
  'volume-changed':
    'Back up something that stands still: a snapshot of the volume, or the volume while nothing writes to it.',
  'volume-busy':
    'Unmount it, or stop what uses it. With a volume, --force goes on regardless; the result may then be of no use.',
  'volume-too-small': 'Give a target of at least the snapshot\'s size; "dray snapshot show" prints it.',
  'volume-exists':
    'Use --overwrite to replace it or to write into it, or --delta to write only what differs of a volume.',
  'volume-no-space': 'Make room for the target and run the command again.',
  'volume-read-only': 'The target cannot be written: check its mount, "blockdev --getro" and its permissions.',
  'volume-io': 'The device or filesystem reported an error; look at "dmesg" before trying again.',

  'nbd-url':
    'Write an export as nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH, with nbds for TLS and tls-certificates=FOLDER for the ' +
    'authority to trust. Put it in quotes; a file of such a name is ./nbd:….',
  'nbd-unreachable':
    'Check that the server runs and takes another client (qemu-nbd: --shared), then run the command again; with the same ' +
    '--source-id it goes on from where it stopped.',
  'nbd-export-missing': 'Check the name of the export; "nbdinfo --list" or "qemu-nbd --list" shows what a server has.',
  'nbd-refused': 'Look at what the server logs: whom it lets in, and how, is set there.',
  'nbd-too-large':
    'Volumes can have less than 8 PiB: have the server export a part of it, as "nbdkit --filter=offset" does, and back up each part.',
  'nbd-tls':
    'Write nbds:// (or nbds+unix://) for TLS, with tls-certificates=FOLDER that holds ca-cert.pem, and client-cert.pem and client-key.pem where the ' +
    'server asks who you are; tls-hostname=NAME where its certificate names another host.',
  'nbd-protocol': 'Something else listens there, or the server is faulty; nothing that it said was stored.',
  'nbd-io': 'Look at what the server logs: it could not read what it serves.',

  'repository-missing': 'Check --repository (or DRAY_REPOSITORY); "dray repository create URL" makes a new one.',
  'repository-foreign':
    'Check the place: "kopia.repository" lies in the folder or prefix that a URL names. For a new repository choose an empty or new one; nothing was changed there.',
  'repository-exists': 'Use it as it is, or choose another place.',
  'repository-password':
    'Check DRAY_PASSWORD, --password-file or --password-command: it must be the password of this repository.',
  'repository-version': 'Use a newer dray, or the program that wrote the repository.',
  'repository-locked': 'An upgrade of the repository is under way; wait until it has ended.',
  unsupported: 'Use kopia for this repository, or a repository with other settings.',
  corrupt: '"dray repository verify --level data" names every damaged snapshot and extent.',
  'content-missing': '"dray repository verify --level present" names every snapshot that misses data.',
  'snapshot-missing': '"dray snapshot list" shows what there is.',
  'snapshot-kind':
    '"dray snapshot show" tells what a snapshot is of, and "dray snapshot ls" what is in it. What is done to volumes (delta, ' +
    'diff, a parent to build on) is not done to files and folders.',
  'path-missing': '"dray snapshot ls SNAPSHOT/FOLDER" shows what there is. Names are compared letter by letter.',
  'snapshot-pinned':
    'It is kept on purpose: take the pins off first with "dray snapshot pin SNAPSHOT --remove", or delete it with --force.',
  'snapshot-ambiguous': 'Write more of the id; "dray snapshot list" shows the ids.',
  'index-conflict':
    'Others may have been at work meanwhile; run the command again, and it goes on from where it stopped.',
  'index-cache':
    'Remove that cache folder, or choose another place, writable and with room, with --cache-dir or DRAY_CACHE_DIR. ' +
    'The repository is not concerned: whatever is in the cache is made again.',

  'changes-invalid': 'Mend the list, or leave --changes out: the run then reads everything.',
  'changes-incomparable': 'A backup finds another way by itself: it reads what it cannot compare.',

  'compressor-unsupported':
    'Name another one for this run with --compression, or change the policy with "kopia policy set --compression".',
  'maintenance-owner':
    'Let the owner run it, or take it over with "dray repository maintain --owner me". Two machines must not maintain at the ' +
    'same time: stop the schedule of the old owner first.',
  'maintenance-clock':
    "Set this machine's clock, or the store's, and run the command again: what is old is told by both.",
  'maintenance-running': 'Wait until it has ended; a process that was killed holds nothing.',
  'maintenance-late': 'Nothing is lost: run the command again, on a machine that is not suspended meanwhile.',

  degraded: 'Mend what the message names, or leave --strict out: the run then uses what can serve.',

  'pool-missing':
    'Check --pool (or DRAY_POOL). One in an image is mounted again after a reboot with "dray pool open DIR"; "dray pool create DIR" makes a new one.',
  'pool-foreign': 'Choose an empty or new folder; nothing was changed there.',
  'pool-foreign-file':
    'Move it out of the folders of the pool; what it lies in was left as it is. "dray pool check --dry-run" names all of it.',
  'pool-exists':
    'Use it as it is ("dray pool open DIR" mounts the image of one), or choose another place. Of a "pool create --image" that was cut off: unmount DIR, where it is mounted, remove the image, and run it again.',
  'pool-version': 'Use a newer dray: it has made or changed this pool.',
  'pool-reflink':
    'Choose a folder on XFS (mkfs.xfs -m reflink=1,rmapbt=0) or btrfs, or make it in an image: dray pool create DIR --image FILE --size 50G',
  'pool-image':
    'Check where the image is: "dray pool open DIR --image FILE" opens one that was moved. Mounting needs root.',
  'pool-mkfs':
    'Install what makes this file system where it is missing (the package xfsprogs for XFS, e2fsprogs for ext4); otherwise mend what it says.',
  'pool-damaged': '"dray pool check --dry-run" names all that is damaged; "dray pool check" mends what can be mended.',
  'pool-busy': 'Wait until it has ended, and run the command again; a process that was killed holds nothing.',
  'pool-io': 'Look at "dmesg": the system says there what went wrong. Devices, mounts and images need root.',
  'pool-reserve':
    'Delete snapshots that are not needed ("dray snapshot list --volume NAME", "dray snapshot expire --volume NAME"), or give the file system of the pool more room. ' +
    'Volumes can be written to as before.',
  'pool-no-space':
    'Delete snapshots that are not needed ("dray snapshot delete VOLUME@NAME"), or give the file system of the pool more room.',
  'pool-name': 'Names are as data-1; a snapshot is named VOLUME@NAME, as data-1@monday.',
  'pool-size': 'Write a multiple of 4096 bytes, such as 10G; for the image of a pool at least 300M.',
  'pool-volume-missing': '"dray volume list" shows what there is.',
  'pool-volume-exists':
    'Choose another name, or delete that one first with "dray volume delete"; a restore puts its content in place with --overwrite.',
  'pool-volume-deleted':
    'What is restored is kept: run the same command again, and it is put in place, over a new volume of that name as well; or ' +
    'give it up with "dray pool check --remove-unfinished".',
  'pool-snapshot-missing': '"dray snapshot list --volume NAME" shows what there is.',
  'pool-snapshot-exists': 'Choose another name, or leave --name out: the time is taken then.',
  'pool-in-use':
    'Unmount it (in the mount namespace of another process with "nsenter -t PID -m umount DIR", or end what runs there), and end its ' +
    'device with "dray volume detach NAME" or "dray snapshot detach VOLUME@NAME"; close what is open, wait for a backup that reads it.',
  'pool-needed':
    'The next backup builds on it, and reads everything without it: --force deletes it all the same. Of a repository that is gone, ' +
    '"dray pool forget REPOSITORY" releases all of them.',
  'pool-has-snapshots': 'Say --with-snapshots to delete them as well; "dray snapshot list --volume NAME" shows them.',
  'pool-shrink': 'Shrink the file system on it first, then say --shrink --force.',
  'pool-freeze':
    'Nothing is frozen now: run the command again, with a longer --freeze-bound where much is written meanwhile. Unmounted, a volume needs none.',
  'pool-leftover':
    'Nothing is left to do but for its room: the next change of the pool tries again, and "dray pool check" says what is in the way.',
  'pool-not-durable': 'It need not be done again. Look at "dmesg" for what is wrong with the disk below the pool.',

  'freeze-refused':
    'Somebody else has frozen it, or it cannot be frozen: "fsfreeze --unfreeze" ends a freeze that was forgotten.',
  'freeze-timeout': 'Run the command again when less is written, or with a longer --freeze-bound.',
  'freeze-guard-lost': 'Nothing is frozen now: run the command again.',
  'freeze-stuck': 'Whoever writes there waits: end it with "fsfreeze --unfreeze MOUNTPOINT", and look at "dmesg".',
};

const needsRoot = 'Devices, mounts and images need root: run the command with sudo.';
const isFull =
  'The file system is full: delete snapshots that are not needed, or give it more room, and run the command again.';
const quotaUsedUp =
  'A quota is used up, whatever room the disk has: raise it ("xfs_quota", "btrfs qgroup limit", "setquota"), or remove what it ' +
  'counts, and run the command again.';
const isGone =
  'It is not there: check the path, and that what it lies on is mounted. Of a pool, "dray pool check" makes anew what it can; ' +
  'in a container, devices must be passed in (/dev/loop-control, /dev/loop*).';

/** Of what the system refuses about a pool, its files and devices. */
const adviceByErrno: Readonly<Record<string, string>> = {
  ENOENT: isGone,
  ENODEV: isGone,
  ENXIO: isGone,
  EROFS:
    'It is mounted read-only: mount it for writing ("mount -o remount,rw DIR"); where it became so by itself, look at "dmesg" first.',
  ENOSPC: isFull,
  EACCES: needsRoot,
  EPERM: needsRoot,
};

/** What to do next, where there is something to say. */
export function adviceFor(error: unknown): string | undefined {
  // Whatever was attempted, only a shorter name helps.
  if (causesOf(error).some((link) => isErrno(link, 'ENAMETOOLONG'))) {
    return 'The name is longer than the system takes: use a shorter one, or make a link to its folder (ln -s) and go through that.';
  }
  if (causesOf(error).some(isTooManyFiles)) {
    return 'Too many files are open at once: use a smaller --parallel, or raise the limit (ulimit -n).';
  }
  if (causesOf(error).some((link) => errnoOf(link) === 'EDQUOT')) return quotaUsedUp;
  // Of a freeze that failed only the reason tells what to do.
  const frozen = causesOf(error).find(isFreezeFailure);
  const code = knownCodeOf(frozen ?? error);
  const refused = code === 'pool-io' || code === 'pool-image' ? innermostErrno(error) : undefined;
  if (refused !== undefined && Object.hasOwn(adviceByErrno, refused)) return adviceByErrno[refused];
  return code === undefined ? undefined : adviceByCode[code];
}

/**
 * The report, each line ended. `attempted` is the command, such as `backup /dev/sdb`. With `stacks`, or when the error
 * is no operating failure but a broken invariant, the stacks follow: that is for a bug report.
 */
export function errorReport(error: unknown, options: { readonly attempted: string; readonly stacks: boolean }): string {
  const chain = causesOf(error);
  const [first, ...causes] = chain.map(describe);
  const lines = [`dray ${printable(options.attempted)}: ${first ?? 'failed without an error'}`];
  for (const cause of causes) lines.push(`  because: ${cause}`);
  const advice = adviceFor(error);
  if (advice !== undefined) lines.push(`  next: ${advice}`);
  if (error instanceof SuppressedError) lines.push(`  while cleaning up: ${describe(error.error)}`);
  const operating = chain[0] instanceof DrayError || isSystemError(chain[0]) || chain.some(isTooManyFiles);
  if (!operating) lines.push('  next: This is a defect of dray. Please report it with the lines below.');
  if (options.stacks || !operating) lines.push(...chain.map(stackOf));
  return `${lines.join('\n')}\n`;
}

function describe(error: unknown): string {
  if (error instanceof AggregateError)
    return `${error.message || 'several things failed'} (the first of ${error.errors.length} follows)`;
  return printable(error instanceof Error ? nameErrno(error.message || error.name) : String(error));
}

/** By its code: the class is loaded with foreign calls. */
function isFreezeFailure(error: unknown): boolean {
  const code: unknown = error instanceof DrayError ? error.code : undefined;
  return typeof code === 'string' && code.startsWith('freeze-');
}

/** What Node throws for a failed system call, such as ENOSPC in the cache folder. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'errno' in error && 'syscall' in error;
}

/** Threads that cannot start say it in words only. */
function isTooManyFiles(error: unknown): boolean {
  if (isErrno(error, 'EMFILE') || isErrno(error, 'ENFILE')) return true;
  return error instanceof Error && /\bE[MN]FILE\b/.test(error.message);
}

/** Of the innermost link that has one: the system's own word for why it refused. */
function innermostErrno(error: unknown): string | undefined {
  return causesOf(error)
    .map(errnoOf)
    .findLast((errno) => errno !== undefined);
}

function stackOf(error: unknown): string {
  return error instanceof Error && error.stack ? error.stack : String(error);
}
