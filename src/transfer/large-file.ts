/**
 * One file of several contents on its way: opened here, written in parts by all workers at once, finished when the last
 * part is there. An interrupted one goes on: below the recorded watermark everything is written; above it, what a part of
 * the file holds is compared with what it should, because parts are written in no order.
 */
import { constants, ftruncateSync, openSync } from 'node:fs';

import { closeDescriptor } from '../kernel/folder-calls.ts';
import { fallocate } from '../kernel/sys.ts';
import { hasCode } from '../std/dray-error.ts';
import { isSameTime, type FileAttributes } from '../volume/file-attributes.ts';
import {
  createFile,
  dropFile,
  finishFile,
  lookAt,
  openOnly,
  writeAll,
  type OpenedFile,
  type Place,
} from '../volume/folder-entry.ts';
import type { ExistingFiles } from './fetch-messages.ts';
import type { PartialFile } from './files-state.ts';

export interface LargeFilePlace extends Place {
  /** In the snapshot. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly attributes: FileAttributes;
}

export interface LargeFileOptions {
  readonly existing: ExistingFiles;
  /** True when whatever has its name was made by an earlier run of this restore. */
  readonly own: boolean;
  /** What an earlier run has written of this very file. */
  readonly partial: PartialFile | undefined;
  readonly temporaryName: string;
}

const keepSizeAndPunch = 1 | 2;
const zeroWriteBytes = 1024 * 1024;

export class LargeFile {
  readonly path: string;
  readonly fd: number;
  /** For writing past the page cache, where the file system can. */
  readonly directFd: number | undefined;
  /** True when the file may hold something. */
  readonly compare: boolean;
  readonly #place: LargeFilePlace;
  readonly #opened: OpenedFile;
  /** True when it looked whole before: nobody knows better what it should hold, so it is not removed. */
  readonly #stood: boolean;
  /** Parts under way, by offset, in that order. */
  readonly #open = new Set<number>();
  #position: number;
  #damage: Error | undefined;

  /** Undefined when it is whole already. @throws {KernelError} EEXIST */
  static open(
    place: LargeFilePlace,
    { existing, own, partial, temporaryName }: LargeFileOptions,
  ): LargeFile | undefined {
    const { folder, name, sizeBytes, attributes } = place;
    const stats = existing === 'refuse' ? undefined : lookAt(place);
    const isSame = stats?.isFile() === true && stats.size === BigInt(sizeBytes);
    const looksWhole = isSame && isSameTime(attributes.modified, stats.mtimeNs);
    if (existing === 'trust' && looksWhole) return undefined;
    // What looks whole, or was made by us, is compared where it is; anything else is not touched before it is replaced.
    const inPlace = stats !== undefined && (own || looksWhole);
    const begun = [...(partial === undefined ? [] : [partial]), ...(inPlace ? [{ name, watermark: 0 }] : [])];
    for (const known of begun) {
      const found = openOnly({ folder, name: known.name }, { write: true });
      if (found === undefined) continue;
      const believed = existing === 'trust' && found.stats.size === BigInt(sizeBytes);
      const watermark = believed ? Math.min(known.watermark, sizeBytes) : 0;
      const stood = looksWhole && known.name === name;
      return new LargeFile(place, { fd: found.fd, name: known.name }, { watermark, compare: true, stood });
    }
    const opened = createFile(place, existing === 'refuse' ? undefined : temporaryName);
    return new LargeFile(place, opened, { watermark: 0, compare: false, stood: false });
  }

  private constructor(
    place: LargeFilePlace,
    opened: OpenedFile,
    { watermark, compare, stood }: { readonly watermark: number; readonly compare: boolean; readonly stood: boolean },
  ) {
    this.#place = place;
    this.#opened = opened;
    this.#position = watermark;
    this.path = place.path;
    this.fd = opened.fd;
    this.compare = compare;
    this.#stood = stood;
    try {
      // One that stood has its size, and keeps its times if nothing is written to it.
      if (!stood) ftruncateSync(this.fd, place.sizeBytes);
    } catch (error) {
      // One that was there is left as it is.
      if (compare) closeDescriptor(this.fd);
      else dropFile(place, opened);
      throw error;
    }
    this.directFd = openDirect(this.fd);
  }

  /** What a later run can go on from; everything below the watermark is written. Damage may lie anywhere below. */
  get progress(): PartialFile {
    const [first] = this.#open;
    const watermark = this.#damage === undefined ? (first ?? this.#position) : 0;
    return { path: this.path, name: this.#opened.name, watermark };
  }

  get damage(): Error | undefined {
    return this.#damage;
  }

  /** The file cannot be whole. The first reason is kept. */
  damaged(reason: Error): void {
    this.#damage ??= reason;
  }

  /** True when nothing of it is under way. */
  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** The list of its contents was read to its end, or given up. */
  listed = false;

  begin(offset: number, lengthBytes: number): void {
    this.#open.add(offset);
    this.#position = offset + lengthBytes;
  }

  end(offset: number): void {
    this.#open.delete(offset);
  }

  /** Makes a stretch read as zeros, where something may stand. */
  async hole(offset: number, lengthBytes: number): Promise<void> {
    if (this.compare) await this.#punch(offset, lengthBytes);
    this.#position = offset + lengthBytes;
  }

  async #punch(offset: number, lengthBytes: number): Promise<void> {
    try {
      await fallocate(this.fd, keepSizeAndPunch, { offset, lengthBytes });
    } catch (error) {
      if (!hasCode(error, 'kernel-unsupported')) throw error;
      const zeros = new Uint8Array(Math.min(zeroWriteBytes, lengthBytes));
      for (let done = 0; done < lengthBytes; done += zeros.length) {
        writeAll(this.fd, zeros.subarray(0, lengthBytes - done), offset + done);
      }
    }
  }

  /**
   * Nothing is under way any more: the file gets its attributes and its name. When it cannot be whole it is removed, but
   * for one that looked whole before: the repository has nothing better, and it may be the only good copy.
   */
  finish(): void {
    this.#closeDirect();
    if (this.#damage !== undefined && this.#stood) closeDescriptor(this.fd);
    else if (this.#damage !== undefined) dropFile(this.#place, this.#opened);
    else finishFile(this.#place, this.#opened, this.#place.attributes);
  }

  /** Leaves it as it is, for a later run. */
  close(): void {
    this.#closeDirect();
    closeDescriptor(this.fd);
  }

  #closeDirect(): void {
    if (this.directFd !== undefined) closeDescriptor(this.directFd);
  }
}

/** The same file once more. Where that is refused, everything goes through the page cache. */
function openDirect(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_DIRECT);
  } catch {
    return undefined;
  }
}
