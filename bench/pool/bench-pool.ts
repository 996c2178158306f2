/**
 * A pool in an image of the workspace, and the program on it. What runs is the real program, as a user would run it.
 * Disposing unmounts and detaches everything and removes the image, also when the run was ended by a signal.
 */
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { imageName, PoolLayout } from '../../src/pool/pool-layout.ts';
import { measure, type Measurement } from '../measure.ts';
import { settle, type Workspace } from '../workspace.ts';

const program = new URL('../../bin/dray', import.meta.url).pathname;

export interface BenchPoolOptions {
  /** Of the image: sparse, so it takes room only as it fills. */
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
}

/** What `dray snapshot create -o json` says of one snapshot; the fields that are used. */
export interface TakenSnapshot {
  readonly snapshot: string;
  /** Taken while the file system was frozen. */
  readonly created: string;
  readonly frozenMs: number;
}

export class BenchPool implements AsyncDisposable {
  readonly path: string;
  readonly #workspace: Workspace;
  readonly #image: string;
  readonly #signal: AbortSignal;
  readonly #attached = new Map<string, string>();
  readonly #mounted: string[] = [];

  private constructor(workspace: Workspace, signal: AbortSignal) {
    this.#workspace = workspace;
    this.path = workspace.path('pool');
    this.#image = workspace.path('pool.img');
    this.#signal = signal;
  }

  static async create(workspace: Workspace, { sizeBytes, signal }: BenchPoolOptions): Promise<BenchPool> {
    const pool = new BenchPool(workspace, signal);
    await pool.run('pool', 'create', pool.path, '--image', pool.#image, '--size', String(sizeBytes));
    return pool;
  }

  /** One `dray` command on this pool. */
  async run(...args: readonly string[]): Promise<Measurement> {
    const env = { DRAY_POOL: this.path };
    return await measure({ program, args: [...args, '--quiet'], env, signal: this.#signal });
  }

  async makeVolume(name: string, { sizeBytes, mkfs }: { sizeBytes: number; mkfs?: 'ext4' }): Promise<void> {
    const made = mkfs === undefined ? [] : ['--mkfs', mkfs];
    await this.run('volume', 'create', name, '--size', String(sizeBytes), ...made);
  }

  /** @returns the device */
  async attach(volume: string): Promise<string> {
    const { stdout } = await this.run('volume', 'attach', volume, '-o', 'name');
    const device = stdout.trim();
    this.#attached.set(volume, device);
    return device;
  }

  /** Attaches and mounts. @returns where */
  async mount(volume: string): Promise<string> {
    const device = await this.attach(volume);
    const point = this.#workspace.path(`mounted-${volume}`);
    await mkdir(point);
    mustRun('mount', device, point);
    this.#mounted.push(point);
    return point;
  }

  async snapshot(volume: string, name: string): Promise<TakenSnapshot & { readonly measured: Measurement }> {
    const measured = await this.run('snapshot', 'create', volume, '--name', name, '-o', 'json');
    const [taken] = JSON.parse(measured.stdout) as readonly TakenSnapshot[];
    if (taken === undefined) throw new Error(`no snapshot was made of ${volume}`);
    return { ...taken, measured };
  }

  /** The image of a volume, or of a snapshot of it. */
  imageOf(volume: string, snapshot?: string): string {
    const layout = new PoolLayout(this.path);
    return snapshot === undefined ? layout.image(volume) : join(layout.snapshot(volume, snapshot), imageName);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const point of this.#mounted) mustRun('umount', point);
    for (const device of this.#attached.values()) mustRun('losetup', '-d', device);
    settle();
    const device = /^(\/dev\/loop\d+):/m.exec(mustRun('losetup', '-j', this.#image))?.[1];
    mustRun('umount', this.path);
    if (device !== undefined) mustRun('losetup', '-d', device);
    for (const name of [this.path, this.#image, ...this.#mounted]) await this.#workspace.remove(nameIn(name));
  }
}

function nameIn(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function mustRun(command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}
