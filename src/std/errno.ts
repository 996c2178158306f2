/**
 * What the system says of a refusal, by its name. libuv has no names for some numbers of Linux, among them that of a used
 * up quota and those of a damaged file system: Node's errors then have `Unknown system error -122` for a code. The numbers
 * are those of x64 and arm64 (asm-generic/errno.h).
 */
import { getSystemErrorName } from 'node:util';

interface Named {
  readonly name: string;
  readonly words: string;
}

const unknownToNode: Readonly<Record<string, Named>> = {
  52: { name: 'EBADE', words: 'reserved by another host' },
  62: { name: 'ETIME', words: 'the device took too long' },
  67: { name: 'ENOLINK', words: 'the link to the device is lost' },
  74: { name: 'EBADMSG', words: 'the file system is damaged: bad checksum' },
  116: { name: 'ESTALE', words: 'the server knows the file no more' },
  117: { name: 'EUCLEAN', words: 'the file system is damaged' },
  122: { name: 'EDQUOT', words: 'the quota is used up' },
  123: { name: 'ENOMEDIUM', words: 'no medium' },
  126: { name: 'ENOKEY', words: 'the key of the folder is not there' },
};

const unknown = /Unknown system error -(\d+)/;

/** The name of an error number of the system, such as `EBUSY`. */
export function errnoName(number: number): string {
  if (number <= 0) return 'EUNKNOWN';
  return unknownToNode[number]?.name ?? getSystemErrorName(-number);
}

/**
 * The name of what the system has refused: of an error of Node, of one with a name in `errno`, and of either that came from
 * another thread. undefined for all other errors.
 */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const said = 'errno' in error && typeof error.errno === 'string' ? error.errno : 'code' in error ? error.code : '';
  if (typeof said !== 'string') return undefined;
  if (/^E[A-Z0-9]+$/.test(said)) return said;
  const number = unknown.exec(said)?.[1];
  return number === undefined ? undefined : (unknownToNode[number]?.name ?? `E${number}`);
}

/** A message of Node with the name and the words that it lacks. */
export function nameErrno(message: string): string {
  return message.replace(
    /Unknown system error -(\d+)(?:: Unknown system error -\1)?/g,
    (whole: string, number: string) => {
      const named = unknownToNode[number];
      return named === undefined ? whole : `${named.name}: ${named.words}`;
    },
  );
}
