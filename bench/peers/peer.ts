import { spawnSync } from 'node:child_process';

import { findPeer } from '../../test/peers/peers.ts';
import type { Measurement } from '../measure.ts';

/** A program that backs up and restores, on one repository of its own at a time. */
export interface Peer {
  readonly name: string;
  /** As its `--version` says. */
  readonly version: string;
  /** What was run, for the results. */
  readonly how: string;
  /** Makes an empty repository; not measured. */
  create(): Promise<void>;
  backup(source: string): Promise<Measurement>;
  /** Restores the last backup of `source` to a new file. `cold`: with nothing in a cache of its own. */
  restore(source: string, target: string, options: { readonly cold: boolean }): Promise<Measurement>;
  /** The same to a block device of the volume's size. */
  restoreToDevice(source: string, device: string, options: { readonly cold: boolean }): Promise<Measurement>;
  storedBytes(): Promise<number>;
  /** Reads the repository into the page cache. */
  warm(): Promise<void>;
  /** Removes the repository and all that belongs to it. */
  remove(): Promise<void>;
}

export interface PeerParts {
  /** A folder that the peer makes and removes. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** The path of a peer, built from its pinned sources where it is not there and Go is. `undefined`: not to be had. */
export async function findOrBuildPeer(name: 'kopia' | 'restic'): Promise<string | undefined> {
  const found = await findPeer(name);
  if (found !== undefined) return found;
  console.log(`${name} is not there; building it`);
  const script = new URL('../../test/peers/build.sh', import.meta.url).pathname;
  const { status } = spawnSync(script, [name], { stdio: ['ignore', 'inherit', 'inherit'] });
  return status === 0 ? await findPeer(name) : undefined;
}

/** What a program prints of its version, on one line. */
export function versionOf(program: string, ...args: readonly string[]): string {
  const { stdout } = spawnSync(program, [...args], { encoding: 'utf8' });
  return stdout.trim().split('\n')[0] ?? '';
}
