/** Writes to a device without a file system, and to its image behind its back, by chance. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { alignedBuffer } from '../../src/kernel/aligned-memory.ts';
import { zeroOut } from '../../src/kernel/block-device.ts';
import { cloneRange, dedupeRange } from '../../src/kernel/reflink.ts';
import { fallocate, ioctlAsync } from '../../src/kernel/sys.ts';
import { blockBytes } from '../../src/changes/compare-maps.ts';
import type { BlockMarks } from './block-marks.ts';
import type { Dice } from './dice.ts';
import type { VolumeWriter } from './volume-writer.ts';

const BLKDISCARD = 0x1277;
const [keepSize, punchHole, zeroRange] = [1, 2, 16];
const kib = 1024;
const writtenMax = 32;

interface Range {
  readonly offset: number;
  readonly lengthBytes: number;
}

interface WriteOptions {
  readonly kind: 'new' | 'zeros' | 'same';
  readonly dice: Dice;
}

interface Handles extends AsyncDisposable {
  readonly buffered: FileHandle;
  readonly direct: FileHandle;
}

export class RawWriter implements VolumeWriter {
  readonly #marks: BlockMarks;
  readonly #sectorBytes: number;
  readonly #preallocates: boolean;
  readonly #aligned: Buffer;
  /** What the volume has to read as. */
  #content: Buffer;
  /** Whole blocks that were written at once, the last ones. */
  readonly #written: Range[] = [];
  #handles: Handles | undefined;
  #duringSnapshot = false;

  /** @param preallocates also zero by ranges that are allocated and not written: btrfs compresses no more in such a file */
  constructor({
    marks,
    sectorBytes,
    sizeBytes,
    preallocates,
  }: {
    readonly preallocates: boolean;
    readonly marks: BlockMarks;
    readonly sectorBytes: number;
    readonly sizeBytes: number;
  }) {
    this.#marks = marks;
    this.#sectorBytes = sectorBytes;
    this.#preallocates = preallocates;
    const aligned = alignedBuffer(64 * kib);
    this.#aligned = Buffer.from(aligned.buffer, aligned.byteOffset, aligned.length);
    this.#content = Buffer.alloc(sizeBytes);
  }

  async begin(device: string): Promise<void> {
    await using stack = new AsyncDisposableStack();
    const buffered = stack.use(await open(device, 'r+'));
    const direct = stack.use(await open(device, constants.O_RDWR | constants.O_DIRECT));
    const owned = stack.move();
    this.#handles = { buffered, direct, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
  }

  async end(): Promise<void> {
    await this.#handles?.[Symbol.asyncDispose]();
    this.#handles = undefined;
  }

  snapshotBegins(): void {
    this.#duringSnapshot = true;
  }

  snapshotEnded(): void {
    this.#duringSnapshot = false;
  }

  faultOf(image: Buffer): string | undefined {
    if (image.length !== this.#content.length) return `it has ${image.length} bytes, not ${this.#content.length}`;
    for (let offset = 0; offset < image.length; offset += blockBytes) {
      const end = offset + blockBytes;
      if (image.compare(this.#content, offset, end, offset, end) === 0) continue;
      if (!this.#marks.has('uncertain', offset / blockBytes)) return `block ${offset} is not what was written`;
    }
    return undefined;
  }

  replaced(image: Buffer): void {
    this.#content = Buffer.from(image);
  }

  resized(sizeBytes: number): void {
    const content = Buffer.alloc(sizeBytes);
    const cutBytes = this.#content.length - sizeBytes;
    // What is cut off was given up, as by a discard.
    if (cutBytes > 0) this.#marks.add('aside', { offset: sizeBytes, lengthBytes: cutBytes });
    this.#content.copy(content);
    this.#content = content;
  }

  async step(dice: Dice): Promise<string> {
    const roll = dice.below(100);
    if (roll < 45) return await this.#write('write', this.#anywhere(dice, 64 * kib), { kind: 'new', dice });
    if (roll < 65) return await this.#writeSectors(dice);
    if (roll < 73) return await this.#write('write zeros', this.#anywhere(dice, 256 * kib), { kind: 'zeros', dice });
    if (roll < 83) return await this.#write('write the same', this.#anywhere(dice, 64 * kib), { kind: 'same', dice });
    if (roll < 90) return await this.#discard(dice);
    if (roll < 97 && this.#preallocates) return await this.#zeroOut(dice);
    await this.flush();
    return 'flush';
  }

  async flush(): Promise<void> {
    await this.#open().buffered.sync();
  }

  #anywhere(dice: Dice, most: number): Range {
    return dice.range(this.#content.length, { unit: dice.pick([1, 1, 512, blockBytes]), most });
  }

  #open(): Handles {
    if (this.#handles === undefined) throw new Error('the device is not open');
    return this.#handles;
  }

  async #write(what: string, range: Range, { kind, dice }: WriteOptions): Promise<string> {
    const bytes = this.#bytesOf(range, { kind, dice });
    this.#touch(range, kind !== 'new');
    await writeAll(this.#open().buffered, bytes, range.offset);
    if (kind === 'new') this.#remember(range);
    return this.#done(what, range, bytes);
  }

  #remember({ offset, lengthBytes }: Range): void {
    if (offset % blockBytes !== 0 || lengthBytes < 2 * blockBytes) return;
    this.#written.push({ offset, lengthBytes });
    if (this.#written.length > writtenMax) this.#written.shift();
  }

  /** A copy: what is there may change while it is written. */
  #bytesOf({ offset, lengthBytes }: Range, { kind, dice }: WriteOptions): Buffer {
    if (kind === 'zeros') return Buffer.alloc(lengthBytes);
    if (kind === 'same') return Buffer.from(this.#content.subarray(offset, offset + lengthBytes));
    return dice.bytes(lengthBytes);
  }

  async #writeSectors(dice: Dice): Promise<string> {
    const range = dice.range(this.#content.length, { unit: this.#sectorBytes, most: 8 * this.#sectorBytes });
    const bytes = this.#aligned.subarray(0, range.lengthBytes);
    bytes.set(dice.bytes(range.lengthBytes));
    this.#touch(range, false);
    await writeAll(this.#open().direct, bytes, range.offset);
    return this.#done('write sectors', range, bytes);
  }

  async #discard(dice: Dice): Promise<string> {
    const range = dice.range(this.#content.length, { unit: blockBytes, most: 512 * kib });
    this.#touch(range, true);
    const argument = Buffer.alloc(16);
    argument.writeBigUInt64LE(BigInt(range.offset), 0);
    argument.writeBigUInt64LE(BigInt(range.lengthBytes), 8);
    await ioctlAsync(this.#open().buffered.fd, BLKDISCARD, argument);
    return this.#done('discard', range, Buffer.alloc(range.lengthBytes));
  }

  async #zeroOut(dice: Dice): Promise<string> {
    const range = dice.range(this.#content.length, { unit: this.#sectorBytes, most: 256 * kib });
    this.#touch(range, true);
    await zeroOut(this.#open().buffered.fd, range);
    return this.#done('zero out', range, Buffer.alloc(range.lengthBytes));
  }

  #touch(range: Range, aside: boolean): void {
    if (aside) this.#marks.add('aside', range);
    if (this.#duringSnapshot) this.#marks.add('uncertain', range);
  }

  #done(what: string, { offset, lengthBytes }: Range, bytes: Buffer): string {
    this.#content.set(bytes, offset);
    return `${what} ${offset}+${lengthBytes}`;
  }

  readonly behind = async (path: string, snapshot: string | undefined, dice: Dice): Promise<string> => {
    await using image = await open(path, 'r+');
    const range = dice.range(this.#content.length, { unit: blockBytes, most: 256 * kib });
    const zeros = Buffer.alloc(range.lengthBytes);
    const roll = dice.pick(this.#preallocates ? [0, 1, 2, 3, 4, 5] : [0, 3, 3, 4, 5, 5]);
    if (roll === 0) {
      this.#touch(range, true);
      await fallocate(image.fd, keepSize | punchHole, range);
      return this.#done('punch a hole', range, zeros);
    }
    if (roll === 1) {
      this.#touch(range, true);
      await fallocate(image.fd, zeroRange, range);
      return this.#done('zero a range', range, zeros);
    }
    if (roll === 2) {
      this.#touch(range, true);
      await fallocate(image.fd, 0, range);
      return `preallocate ${range.offset}+${range.lengthBytes}`;
    }
    if (roll === 3) {
      const bytes = dice.bytes(range.lengthBytes);
      await writeAll(image, bytes, range.offset);
      this.#remember(range);
      return this.#done('write into the image', range, bytes);
    }
    if (roll === 4) return await this.#twins(image, range, dice);
    return await this.#clonePart(image, { range, snapshot, dice });
  };

  /** The same bytes in two places, which then share one. */
  async #twins(image: FileHandle, range: Range, dice: Dice): Promise<string> {
    const size = this.#content.length;
    const to = { offset: (range.offset + Math.floor(size / 2 / blockBytes) * blockBytes) % size, lengthBytes: 0 };
    const lengthBytes = Math.min(range.lengthBytes, size - to.offset);
    const bytes = dice.bytes(lengthBytes);
    await writeAll(image, bytes, range.offset);
    await writeAll(image, bytes, to.offset);
    this.#done('', { offset: range.offset, lengthBytes }, bytes);
    this.#done('', { ...to, lengthBytes }, bytes);
    this.#marks.add('moved', { ...to, lengthBytes });
    await dedupeRange({ fd: image.fd, offset: range.offset }, { fd: image.fd, offset: to.offset }, lengthBytes);
    return `write twins ${range.offset} and ${to.offset}+${lengthBytes}`;
  }

  /**
   * The second half of what was written at once, over the first: btrfs may hold both in one compressed extent, for any part
   * of which it tells the same address.
   */
  async #cloneWithin(image: FileHandle, { offset, lengthBytes: wholeBytes }: Range): Promise<string> {
    const lengthBytes = Math.floor(wholeBytes / 2 / blockBytes) * blockBytes;
    const from = offset + lengthBytes;
    if (from + lengthBytes > this.#content.length) return 'clone nothing: the volume is shorter now';
    const bytes = Buffer.from(this.#content.subarray(from, from + lengthBytes));
    this.#marks.add('moved', { offset, lengthBytes });
    await cloneRange({ fd: image.fd, offset: from }, { fd: image.fd, offset }, lengthBytes);
    return this.#done(`clone ${from} to`, { offset, lengthBytes }, bytes);
  }

  /** Blocks of another place, or of a snapshot, shared. */
  async #clonePart(
    image: FileHandle,
    { range, snapshot, dice }: { readonly range: Range; readonly snapshot: string | undefined; readonly dice: Dice },
  ): Promise<string> {
    await using files = new AsyncDisposableStack();
    const within = this.#written.length > 0 && dice.chance(0.5) ? dice.pick(this.#written) : undefined;
    if (within !== undefined) return await this.#cloneWithin(image, within);
    const isOther = snapshot !== undefined && dice.chance(0.5);
    const source = isOther ? files.use(await open(snapshot, 'r')) : image;
    const { size } = await source.stat();
    const lengthBytes = Math.min(range.lengthBytes, Math.floor(size / 4 / blockBytes) * blockBytes);
    const from = dice.below((size - lengthBytes) / blockBytes + 1) * blockBytes;
    const overlaps = !isOther && from < range.offset + lengthBytes && range.offset < from + lengthBytes;
    if (overlaps) return 'clone nothing: the ranges overlap';
    const bytes = Buffer.alloc(lengthBytes);
    await source.read(bytes, 0, lengthBytes, from);
    // What was equal already lies elsewhere now.
    this.#marks.add('moved', { offset: range.offset, lengthBytes });
    await cloneRange({ fd: source.fd, offset: from }, { fd: image.fd, offset: range.offset }, lengthBytes);
    return this.#done(
      `clone ${isOther ? 'of a snapshot ' : ''}${from} to`,
      { offset: range.offset, lengthBytes },
      bytes,
    );
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
