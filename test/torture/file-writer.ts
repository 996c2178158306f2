/** Writes to files of a file system on the volume, by chance, and remembers what they have to hold. */
import { open, readdir, readFile, rename, truncate, unlink, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFileSystem } from '../../src/kernel/folder-calls.ts';
import { mountFileSystem, unmountFileSystem } from '../../src/kernel/mount.ts';
import { fallocate, ioctlAsync } from '../../src/kernel/sys.ts';
import type { InnerKind } from './cases.ts';
import type { Dice } from './dice.ts';
import type { VolumeWriter } from './volume-writer.ts';

const FITRIM = 0xc0185879;
const [keepSize, punchHole, zeroRange] = [1, 2, 16];
const kib = 1024;
const fileBytesMax = 512 * kib;
const filesMax = 60;
const totalBytesMax = 16 * 1024 * kib;
const { signal } = new AbortController();

/** Names and contents; no buffer is ever changed. */
export type Files = ReadonlyMap<string, Buffer>;

export interface KnownFiles {
  readonly files: Files;
  /** Written to while the snapshot was made. */
  readonly uncertain: ReadonlySet<string>;
}

export class FileWriter implements VolumeWriter {
  readonly #kind: Exclude<InnerKind, 'raw'>;
  readonly #mountPoint: string;
  #files = new Map<string, Buffer>();
  #isMounted = false;
  /** Read the files from the disk at the next mount. */
  #isUnknown = false;
  #names = 0;
  #before: Files = new Map();
  #uncertain: Set<string> | undefined;
  #lastUncertain = new Set<string>();
  readonly behind = undefined;

  constructor({ kind, mountPoint }: { readonly kind: Exclude<InnerKind, 'raw'>; readonly mountPoint: string }) {
    this.#kind = kind;
    this.#mountPoint = mountPoint;
  }

  async begin(device: string, dice: Dice): Promise<void> {
    const options = dice.chance(0.3) ? ['discard'] : [];
    await mountFileSystem(device, this.#mountPoint, { type: this.#kind, options, signal });
    this.#isMounted = true;
    if (!this.#isUnknown) return;
    this.#files = await readFiles(this.#mountPoint);
    this.#isUnknown = false;
  }

  async end(): Promise<void> {
    if (!this.#isMounted) return;
    await unmountFileSystem(this.#mountPoint);
    this.#isMounted = false;
  }

  snapshotBegins(): void {
    this.#before = new Map(this.#files);
    this.#uncertain = new Set();
  }

  snapshotEnded(): void {
    this.#lastUncertain = this.#uncertain ?? new Set();
    this.#uncertain = undefined;
  }

  faultOf(): undefined {
    return undefined;
  }

  replaced(): void {
    this.#isUnknown = true;
  }

  /** The file system stays as it is. */
  resized(): void {}

  /** What the last snapshot has to hold; undefined when that is not known. */
  get known(): KnownFiles | undefined {
    return this.#isUnknown ? undefined : { files: this.#before, uncertain: this.#lastUncertain };
  }

  async step(dice: Dice): Promise<string> {
    const roll = dice.below(100);
    if (this.#files.size === 0 || roll < 20) return await this.#create(dice);
    const name = dice.pick([...this.#files.keys()]);
    if (roll < 25 || this.#files.size > filesMax || this.#totalBytes() > totalBytesMax) return await this.#remove(name);
    if (roll < 28) return await this.#rename(name);
    if (roll < 36) return await this.#truncate(name, dice);
    if (roll < 39) return await this.#trim();
    return await this.#change(name, dice);
  }

  async flush(): Promise<void> {
    await using folder = await open(this.#mountPoint, 'r');
    await syncFileSystem(folder.fd);
  }

  #totalBytes(): number {
    return this.#files.values().reduce((sum, { length }) => sum + length, 0);
  }

  #touch(...names: readonly string[]): void {
    for (const name of names) this.#uncertain?.add(name);
  }

  #path(name: string): string {
    return join(this.#mountPoint, name);
  }

  async #create(dice: Dice): Promise<string> {
    const name = `f${(this.#names += 1)}`;
    this.#touch(name);
    const bytes = dice.bytes(dice.below(dice.pick([100, 5000, 256 * kib])));
    await writeFile(this.#path(name), bytes);
    this.#files.set(name, bytes);
    return `create ${name} of ${bytes.length}`;
  }

  async #remove(name: string): Promise<string> {
    this.#touch(name);
    await unlink(this.#path(name));
    this.#files.delete(name);
    return `remove ${name}`;
  }

  async #rename(name: string): Promise<string> {
    const to = `f${(this.#names += 1)}`;
    this.#touch(name, to);
    await rename(this.#path(name), this.#path(to));
    this.#files.set(to, this.#files.get(name)!);
    this.#files.delete(name);
    return `rename ${name} to ${to}`;
  }

  async #truncate(name: string, dice: Dice): Promise<string> {
    this.#touch(name);
    const size = dice.below(Math.min(fileBytesMax, 2 * this.#files.get(name)!.length + 1));
    await truncate(this.#path(name), size);
    this.#files.set(name, changed(this.#files.get(name)!, { size }));
    return `truncate ${name} to ${size}`;
  }

  async #trim(): Promise<string> {
    await using folder = await open(this.#mountPoint, 'r');
    const argument = Buffer.alloc(24);
    argument.writeBigUInt64LE(2n ** 64n - 1n, 8);
    await ioctlAsync(folder.fd, FITRIM, argument);
    return 'trim';
  }

  /** A part of a file that stays. */
  async #change(name: string, dice: Dice): Promise<string> {
    this.#touch(name);
    await using file = await open(this.#path(name), 'r+');
    const before = this.#files.get(name)!;
    const unit = dice.pick([1, 1, 4096]);
    const room = Math.min(fileBytesMax, before.length + 64 * kib);
    const range = dice.range(room, { unit, most: 64 * kib });
    const [after, what] = await changeFile(file, { before, range, dice });
    this.#files.set(name, after);
    return `${what} ${name} at ${range.offset}+${range.lengthBytes}`;
  }
}

async function changeFile(
  file: FileHandle,
  change: {
    readonly before: Buffer;
    readonly range: { readonly offset: number; readonly lengthBytes: number };
    readonly dice: Dice;
  },
): Promise<readonly [Buffer, string]> {
  const { before, range, dice } = change;
  const { offset, lengthBytes } = range;
  const size = Math.max(before.length, offset + lengthBytes);
  const roll = dice.below(10);
  if (roll === 0) {
    await fallocate(file.fd, keepSize | punchHole, range);
    return [changed(before, { zeros: range }), 'punch'];
  }
  if (roll === 1) {
    await fallocate(file.fd, zeroRange, range);
    return [changed(before, { size, zeros: range }), 'zero a range of'];
  }
  if (roll === 2) {
    await fallocate(file.fd, 0, range);
    return [changed(before, { size }), 'preallocate in'];
  }
  const bytes = dice.bytes(lengthBytes);
  await file.write(bytes, 0, lengthBytes, offset);
  if (roll === 3) await file.sync();
  return [changed(before, { size, bytes, at: offset }), roll === 3 ? 'write and flush' : 'write'];
}

/** A copy of a file's content with a change. */
function changed(
  before: Buffer,
  change: {
    readonly size?: number;
    readonly zeros?: { readonly offset: number; readonly lengthBytes: number };
    readonly bytes?: Buffer;
    readonly at?: number;
  },
): Buffer {
  const { size = before.length, zeros, bytes, at = 0 } = change;
  const after = Buffer.alloc(size);
  before.copy(after);
  if (zeros !== undefined)
    after.fill(0, Math.min(zeros.offset, size), Math.min(zeros.offset + zeros.lengthBytes, size));
  if (bytes !== undefined) after.set(bytes, at);
  return after;
}

/** The files of a mounted volume. */
export async function readFiles(mountPoint: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(mountPoint, { withFileTypes: true })) {
    if (entry.isFile()) files.set(entry.name, await readFile(join(mountPoint, entry.name)));
  }
  return files;
}
