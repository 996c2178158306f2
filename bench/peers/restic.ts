import { spawnSync } from 'node:child_process';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { measure, type Measurement } from '../measure.ts';
import { FolderPeer } from './folder-peer.ts';
import { type Peer, type PeerParts, versionOf } from './peer.ts';

export class ResticPeer extends FolderPeer implements Peer {
  readonly name = 'restic';
  readonly version: string;
  readonly how: string;
  readonly #program: string;
  readonly #compression: string;

  constructor(program: string, parts: PeerParts) {
    super(parts);
    this.#program = program;
    this.version = versionOf(program, 'version');
    const help = spawnSync(program, ['backup', '--help'], { encoding: 'utf8' }).stdout;
    // Versions before 0.19 have no faster compression than "auto".
    this.#compression = /--compression mode.*\bfastest\b/.test(help) ? 'fastest' : 'auto';
    this.how = `init; backup --compression ${this.#compression}; restore; dump (to a device)`;
  }

  async create(): Promise<void> {
    await this.#run('init');
  }

  async backup(source: string): Promise<Measurement> {
    return await this.#run('backup', '--compression', this.#compression, source);
  }

  /** Restic restores a file under its whole path in a folder; it is moved to `target` afterwards, not measured. */
  async restore(source: string, target: string): Promise<Measurement> {
    const folder = join(this.parts.folder, 'restored');
    const measured = await this.#run('restore', 'latest', '--target', folder);
    await rename(join(folder, source), target);
    await rm(folder, { recursive: true });
    return measured;
  }

  async restoreToDevice(source: string, device: string): Promise<Measurement> {
    const args = ['-c', 'exec "$0" --quiet dump latest "$1" > "$2"', this.#program, source, device];
    return await measure({ program: '/bin/sh', args, env: this.#env, signal: this.parts.signal });
  }

  get #env(): Record<string, string> {
    const cache = join(this.parts.folder, 'cache');
    return { RESTIC_REPOSITORY: this.repository, RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: cache };
  }

  async #run(...args: readonly string[]): Promise<Measurement> {
    const { signal } = this.parts;
    return await measure({ program: this.#program, args: ['--quiet', ...args], env: this.#env, signal });
  }
}
