/**
 * A folder of the target while anything below it is on its way. It is held open, so that nothing that is made in it can
 * land elsewhere, whoever renames or replaces it meanwhile; it gets its mode and times when all below it is done, because
 * until then both are changed by what is made in it.
 */
import { fstatSync } from 'node:fs';

import { closeDescriptor } from '../kernel/folder-calls.ts';
import { toError } from '../std/to-error.ts';
import { applyAttributes, type FileAttributes } from '../volume/file-attributes.ts';
import { createFolder, enterFolder, removeBeginningWith } from '../volume/folder-entry.ts';
import type { ExistingFiles } from './fetch-messages.ts';

/** How folders of one target are opened. */
export interface FolderOptions {
  readonly existing: ExistingFiles;
  /** Begins the names of what an earlier run has not finished; they are removed, but not these. */
  readonly leftoverPrefix: string;
  readonly kept: ReadonlySet<string>;
  /** With the device of a folder that was there, which may be another than its parent's. */
  readonly onOpened: (folder: OpenFolder, fd: number, device: bigint | undefined) => void;
  readonly onClosed: (folder: OpenFolder) => void;
}

export class OpenFolder {
  /** In the snapshot, with a slash behind it; empty for the root. */
  readonly prefix: string;
  readonly depth: number;
  readonly #options: FolderOptions;
  readonly #parent: OpenFolder | undefined;
  readonly #name: string;
  readonly #attributes: FileAttributes;
  #fd: number | undefined;
  #failure: Error | undefined;
  /** Things below that are not done, and the listing itself. */
  #waiting = 1;

  constructor(
    options: FolderOptions,
    place: {
      readonly parent: OpenFolder | undefined;
      readonly name: string;
      readonly prefix: string;
      readonly fd?: number;
    },
    attributes: FileAttributes,
  ) {
    this.#options = options;
    this.#parent = place.parent;
    this.#name = place.name;
    this.prefix = place.prefix;
    this.depth = place.parent === undefined ? 0 : place.parent.depth + 1;
    this.#fd = place.fd;
    this.#attributes = attributes;
    this.#parent?.hold();
  }

  /** True when it could not be made. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** The descriptor; makes the folder, and those above it, when that has not happened yet. @throws {KernelError} */
  open(): number {
    if (this.#fd !== undefined) return this.#fd;
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#fd = this.#enter(this.#parent!.open());
    } catch (error) {
      this.#failure = toError(error);
      throw error;
    }
    return this.#fd;
  }

  /** One more thing below is on its way. */
  hold(): void {
    this.#waiting += 1;
  }

  /** One thing below is done, or given up. With the last one the folder is finished. @throws {KernelError} */
  release(): void {
    this.#waiting -= 1;
    if (this.#waiting > 0) return;
    try {
      if (this.#fd !== undefined) applyAttributes(this.#fd, this.#attributes);
    } finally {
      this.close();
      this.#parent?.release();
    }
  }

  /** The root belongs to whoever opened it. */
  close(): void {
    if (this.#fd !== undefined && this.#parent !== undefined) {
      closeDescriptor(this.#fd);
      this.#options.onClosed(this);
    }
    this.#fd = undefined;
  }

  #enter(parent: number): number {
    const { existing, leftoverPrefix, kept, onOpened } = this.#options;
    if (existing === 'refuse') {
      const fd = createFolder(parent, this.#name);
      onOpened(this, fd, undefined);
      return fd;
    }
    const { fd, created } = enterFolder(parent, this.#name);
    if (!created) removeBeginningWith(fd, leftoverPrefix, { except: kept });
    onOpened(this, fd, created ? undefined : fstatSync(fd, { bigint: true }).dev);
    return fd;
  }
}
