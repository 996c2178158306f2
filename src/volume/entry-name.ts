/**
 * Which names from a repository may become names in a folder. A repository's author writes what he likes: whole paths,
 * `..`, nothing at all. Only a single name that cannot lead anywhere else is ever passed to the kernel.
 */

/** Linux: NAME_MAX, of all file systems in use. */
const nameBytesMax = 255;

/** Why this cannot be the name of something in a folder; undefined when it can. */
export function entryNameFault(name: string): string | undefined {
  if (name === '') return 'the name is empty';
  if (name === '.' || name === '..') return 'the name means another folder';
  if (name.includes('/')) return 'the name is a path';
  if (name.includes('\0')) return 'the name holds a NUL';
  // Two of these could be one on the disk.
  if (!name.isWellFormed()) return 'the name is no Unicode text';
  if (Buffer.byteLength(name) > nameBytesMax) return `the name is longer than ${nameBytesMax} bytes`;
  return undefined;
}
