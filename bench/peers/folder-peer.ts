/** What all peers have in common: a repository in a folder of their own. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { bytesIn, warm } from '../workspace.ts';
import type { PeerParts } from './peer.ts';

export abstract class FolderPeer {
  protected readonly parts: PeerParts;

  constructor(parts: PeerParts) {
    this.parts = parts;
  }

  async storedBytes(): Promise<number> {
    return await bytesIn(this.repository);
  }

  async warm(): Promise<void> {
    await warm(this.repository);
  }

  async remove(): Promise<void> {
    await rm(this.parts.folder, { recursive: true, force: true });
  }

  protected get repository(): string {
    return join(this.parts.folder, 'repository');
  }
}
