import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { measure, type Measurement } from '../measure.ts';
import { FolderPeer } from './folder-peer.ts';
import { type Peer, versionOf } from './peer.ts';

const program = new URL('../../bin/dray', import.meta.url).pathname;

/** What `dray backup -o json` says of a run; the fields that are used. */
export interface BackupRun extends Measurement {
  readonly snapshot: string;
  readonly readBytes: number;
}

export interface ChangeListFile {
  readonly parent: string;
  readonly extents: readonly { readonly offset: number; readonly length: number }[];
}

export class DrayPeer extends FolderPeer implements Peer {
  readonly name = 'dray';
  readonly version: string = versionOf(program, '--version');
  readonly how = 'repository create; backup [--changes FILE]; restore';

  async create(): Promise<void> {
    await this.run('repository', 'create');
  }

  async backup(source: string, options: { readonly changes?: ChangeListFile } = {}): Promise<BackupRun> {
    const list = join(this.parts.folder, 'changes.json');
    if (options.changes !== undefined) await writeFile(list, JSON.stringify(options.changes));
    const args = options.changes === undefined ? [] : ['--changes', list];
    const measured = await this.run('backup', source, ...args, '-o', 'json');
    const { snapshot, readBytes } = JSON.parse(measured.stdout) as Pick<BackupRun, 'snapshot' | 'readBytes'>;
    return { ...measured, snapshot, readBytes };
  }

  async restore(_source: string, target: string): Promise<Measurement> {
    const { stdout } = await this.run('snapshot', 'list', '-o', 'name');
    const ids = stdout.trim().split('\n');
    return await this.restoreSnapshot(ids.at(-1)!, target);
  }

  async restoreToDevice(source: string, device: string): Promise<Measurement> {
    return await this.restore(source, device);
  }

  async restoreSnapshot(snapshot: string, target: string): Promise<Measurement> {
    return await this.run('restore', snapshot, target);
  }

  async run(...args: readonly string[]): Promise<Measurement> {
    const { folder, signal } = this.parts;
    const env = {
      DRAY_REPOSITORY: this.repository,
      DRAY_PASSWORD: 'bench',
      DRAY_CACHE_DIR: join(folder, 'cache'),
    };
    return await measure({ program, args: [...args, '--quiet'], env, signal });
  }
}
