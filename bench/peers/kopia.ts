import { mkdir } from 'node:fs/promises';

import { measure, type Measurement } from '../measure.ts';
import { FolderPeer } from './folder-peer.ts';
import { formatOptions, kopiaEnvironment, parallel, policyOptions } from './kopia-settings.ts';
import { type Peer, type PeerParts, versionOf } from './peer.ts';

export class KopiaPeer extends FolderPeer implements Peer {
  readonly name = 'kopia';
  readonly version: string;
  readonly how: string = [
    `repository create filesystem ${formatOptions.join(' ')}`,
    `policy set --global ${policyOptions.join(' ')}`,
    `snapshot create --parallel=${parallel}`,
    'snapshot restore; show (to a device)',
  ].join('; ');
  readonly #program: string;

  constructor(program: string, parts: PeerParts) {
    super(parts);
    this.#program = program;
    this.version = versionOf(program, '--version').split(' ')[0] ?? '';
  }

  async create(): Promise<void> {
    await mkdir(this.repository, { recursive: true });
    await this.#run('repository', 'create', 'filesystem', `--path=${this.repository}`, ...formatOptions);
    await this.#run('policy', 'set', '--global', ...policyOptions);
  }

  async backup(source: string): Promise<Measurement> {
    return await this.#run('snapshot', 'create', source, `--parallel=${parallel}`, '--no-progress');
  }

  async restore(source: string, target: string, { cold }: { readonly cold: boolean }): Promise<Measurement> {
    const { id } = await this.#latest(source);
    if (cold) await this.#run('cache', 'clear');
    return await this.#run('snapshot', 'restore', id, target, '--no-progress');
  }

  /** To a block device: kopia writes no devices, but shows a file's bytes. */
  async restoreToDevice(source: string, device: string, { cold }: { readonly cold: boolean }): Promise<Measurement> {
    const { object } = await this.#latest(source);
    if (cold) await this.#run('cache', 'clear');
    const args = ['-c', 'exec "$0" show "$1" > "$2"', this.#program, object, device];
    return await measure({ program: '/bin/sh', args, env: this.#env, signal: this.parts.signal });
  }

  async #latest(source: string): Promise<{ readonly id: string; readonly object: string }> {
    const { stdout } = await this.#run('snapshot', 'list', source, '--json');
    const snapshots = JSON.parse(stdout) as readonly { id: string; rootEntry: { obj: string } }[];
    const last = snapshots.at(-1);
    if (last === undefined) throw new Error(`kopia has no snapshot of ${source}`);
    return { id: last.id, object: last.rootEntry.obj };
  }

  get #env(): Record<string, string> {
    return kopiaEnvironment(this.parts.folder);
  }

  async #run(...args: readonly string[]): Promise<Measurement> {
    return await measure({ program: this.#program, args, env: this.#env, signal: this.parts.signal });
  }
}
