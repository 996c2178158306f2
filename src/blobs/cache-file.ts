/**
 * The file of the read cache: a table of places, which any number of processes and threads read and write at the same time
 * without a lock. What is looked for lies in one of two places that its key names; what is stored takes the empty one, or the
 * one that was used longer ago. So the file never grows beyond its bound, whoever writes, and nobody ever has to sweep it.
 *
 * Nothing is believed: an entry carries a SHA-256 of its key and its bytes. A flipped bit, half an entry after a kill, two writers at the
 * same place, a longer neighbour that reaches into it: all of them are entries that are not there. The file may be deleted, cut
 * or overwritten at any time; who has it open goes on with what was deleted, and its room comes back at the end. Nothing is
 * flushed, because everything can be fetched again. An error of the disk ends the cache for this process, and nothing else.
 *
 * Layout (`docs/formats/read-cache.md`): slots of 4 KiB; an entry begins at a slot and takes as many as it needs.
 */
import { createHash, hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeDirectories } from '../std/atomic-write.ts';
import type { Clock } from '../std/clock.ts';

const slotBytes = 4096;
const magic = 0x64724331;
const headBytes = 64;
const keyBytes = 16;

/** What is longer is not kept, nor what takes more than an eighth of the file: it would push out too much. */
export const entryBytesMax: number = 1024 * 1024;

/** Below it there are too few places. */
const sizeBytesMin = 64 * slotBytes;

/** An entry that was used is marked so again after this time. */
const touchSeconds = 3600;

export interface CacheFileOptions {
  /** Made where it is missing, with its folder. */
  readonly path: string;
  /** The file is never longer, and what it takes of the disk neither. */
  readonly sizeBytes: number;
  readonly clock: Clock;
}

/** Calls may overlap. */
export class CacheFile implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #slots: number;
  readonly #entryBytesMax: number;
  #file: FileHandle | undefined;

  private constructor(file: FileHandle, { sizeBytes, clock }: CacheFileOptions) {
    this.#file = file;
    this.#slots = Math.floor(sizeBytes / slotBytes);
    this.#entryBytesMax = Math.min(entryBytesMax, Math.floor(sizeBytes / 8) - headBytes);
    this.#clock = clock;
  }

  /** Undefined where there can be none: no room for it, or nowhere to write. */
  static async open(options: CacheFileOptions): Promise<CacheFile | undefined> {
    const { path, sizeBytes } = options;
    if (sizeBytes < sizeBytesMin) return undefined;
    try {
      await makeDirectories(dirname(path), { mode: 0o700 });
      const file = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
      // One that was allowed to be longer before.
      if ((await file.stat()).size > sizeBytes) await file.truncate(Math.floor(sizeBytes / slotBytes) * slotBytes);
      return new CacheFile(file, options);
    } catch (error) {
      return unlessOfDisk(error);
    }
  }

  /** Exactly these many bytes, in a fresh buffer, if they were stored under this key and are still there. */
  async get(key: string, lengthBytes: number): Promise<Uint8Array | undefined> {
    const file = this.#file;
    if (file === undefined || lengthBytes > this.#entryBytesMax) return undefined;
    try {
      for (const slot of this.#places(keyHash(key), lengthBytes)) {
        const entry = Buffer.allocUnsafe(headBytes + lengthBytes);
        const { bytesRead } = await file.read(entry, 0, entry.length, slot * slotBytes);
        if (bytesRead !== entry.length || !isEntry(entry, key)) continue;
        await this.#touch(file, slot, entry);
        return entry.subarray(headBytes);
      }
    } catch (error) {
      this.#file = unlessOfDisk(error);
      await abandon(file);
    }
    return undefined;
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const file = this.#file;
    if (file === undefined || bytes.length > this.#entryBytesMax) return;
    const named = keyHash(key);
    const entry = Buffer.allocUnsafe(headBytes + bytes.length);
    entry.writeUInt32LE(magic, 0);
    entry.writeUInt32LE(bytes.length, 4);
    entry.writeUInt32LE(this.#nowSeconds(), 8);
    entry.writeUInt32LE(0, 12);
    entry.set(named.subarray(0, keyBytes), 16);
    entry.set(bytes, headBytes);
    entry.set(checksum(named, entry), 16 + keyBytes);
    try {
      const slot = await placeFor(file, named, this.#places(named, bytes.length));
      await file.write(entry, 0, entry.length, slot * slotBytes);
    } catch (error) {
      this.#file = unlessOfDisk(error);
      await abandon(file);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** The first slots of the two places; an entry never reaches over the end. */
  #places(named: Buffer, lengthBytes: number): readonly [number, number] {
    const starts = this.#slots - Math.ceil((headBytes + lengthBytes) / slotBytes) + 1;
    return [named.readUIntLE(16, 6) % starts, named.readUIntLE(22, 6) % starts];
  }

  async #touch(file: FileHandle, slot: number, entry: Buffer): Promise<void> {
    const now = this.#nowSeconds();
    if (now - entry.readUInt32LE(8) < touchSeconds) return;
    const time = Buffer.alloc(4);
    time.writeUInt32LE(now);
    await file.write(time, 0, time.length, slot * slotBytes + 8);
  }

  #nowSeconds(): number {
    return Math.max(0, Math.floor(this.#clock.nowMs() / 1000)) % 2 ** 32;
  }
}

/** The place that has this key already, an empty one, or the one used longer ago. The middle of a longer entry looks empty. */
async function placeFor(file: FileHandle, named: Buffer, [first, second]: readonly [number, number]): Promise<number> {
  return (await rank(file, named, first)) <= (await rank(file, named, second)) ? first : second;
}

async function rank(file: FileHandle, named: Buffer, slot: number): Promise<number> {
  const head = Buffer.alloc(16 + keyBytes);
  const { bytesRead } = await file.read(head, 0, head.length, slot * slotBytes);
  if (bytesRead !== head.length || head.readUInt32LE(0) !== magic) return 0;
  return head.subarray(16).equals(named.subarray(0, keyBytes)) ? -1 : head.readUInt32LE(8);
}

function isEntry(entry: Buffer, key: string): boolean {
  if (entry.readUInt32LE(0) !== magic || entry.readUInt32LE(4) !== entry.length - headBytes) return false;
  return checksum(keyHash(key), entry).equals(entry.subarray(16 + keyBytes, headBytes));
}

/** Of the key's hash, of which the places and the mark of the entry are parts, and of the bytes. */
function checksum(named: Buffer, entry: Buffer): Buffer {
  return createHash('sha256').update(named).update(entry.subarray(headBytes)).digest();
}

function keyHash(key: string): Buffer {
  return hash('sha256', key, 'buffer');
}

async function abandon(file: FileHandle): Promise<void> {
  await file.close().catch(() => undefined);
}

/** The system says no: full, read-only, gone, closed already by a call that failed before. */
function unlessOfDisk(error: unknown): undefined {
  if (!(error instanceof Error) || !('syscall' in error || 'errno' in error)) throw error;
}
