/**
 * A disk as a running machine has it: `qemu-storage-daemon` is the block layer of a virtual machine without the machine. It holds the
 * image open, lets others write to it while exports show it, keeps the bitmaps, and is told by QMP what to do.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { run } from '../kernel/loop-device.ts';
import { findPeer } from '../peers/peers.ts';
import { startListening } from './real-servers.ts';

export interface ShowOptions {
  readonly name: string;
  readonly bitmaps?: readonly string[];
  readonly writable?: boolean;
}

/** A QEMU, and whether it is of those that speak extended headers. */
export interface QemuVersion {
  readonly program: string;
  readonly version: string;
  readonly extended: boolean;
}

/** The installed one, and the newer one that `test/peers/fetch-qemu.sh` has put into its cache. */
export async function storageDaemons(): Promise<QemuVersion[]> {
  const newer = await findPeer('qemu-storage-daemon');
  const found = ['qemu-storage-daemon', ...(newer === undefined ? [] : [newer])].flatMap((program): QemuVersion[] => {
    const said = spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout ?? '';
    const [, version, major, minor] = /version ((\d+)\.(\d+)\.\d+)/.exec(said) ?? [];
    if (version === undefined) return [];
    return [{ program, version, extended: Number(major) * 100 + Number(minor) >= 802 }];
  });
  return found.filter(({ version }, index) => found.findIndex((other) => other.version === version) === index);
}

type Json = Readonly<Record<string, unknown>>;

export class StorageDaemon implements AsyncDisposable {
  readonly #process: { kill(): Promise<void> } & AsyncDisposable;
  readonly #monitor: Monitor;
  readonly #socket: string;

  private constructor(process: { kill(): Promise<void> } & AsyncDisposable, monitor: Monitor, socket: string) {
    this.#process = process;
    this.#monitor = monitor;
    this.#socket = socket;
  }

  /** `nodes` are its block devices, as `--blockdev` takes them. Its sockets are in `folder`, so a second one there has the same addresses. */
  static async start(program: string, folder: string, nodes: readonly Json[]): Promise<StorageDaemon> {
    const [nbd, qmp] = [join(folder, 'nbd'), join(folder, 'qmp')];
    const listen = ['--nbd-server', `addr.type=unix,addr.path=${nbd},max-connections=100`];
    const monitor = ['--chardev', `socket,id=qmp,path=${qmp},server=on,wait=off`, '--monitor', 'chardev=qmp'];
    const devices = nodes.flatMap((node) => ['--blockdev', JSON.stringify(node)]);
    const daemon = await startListening(program, (pidFile) => [
      '--pidfile',
      pidFile,
      ...listen,
      ...monitor,
      ...devices,
    ]);
    try {
      return new StorageDaemon(daemon, await Monitor.open(qmp), nbd);
    } catch (error) {
      await daemon.kill();
      throw error;
    }
  }

  /** Executes a command of QMP. @throws {Error} what QEMU refused it with */
  async tell(command: string, options: Json = {}): Promise<void> {
    await this.#monitor.execute(command, options);
  }

  /** Shows a node under a name. @returns its address */
  async show(node: string, { name, bitmaps = [], writable = false }: ShowOptions): Promise<{ readonly url: string }> {
    await this.tell('block-export-add', { type: 'nbd', id: name, 'node-name': node, name, bitmaps, writable });
    return { url: `nbd+unix:///${name}?socket=${this.#socket}` };
  }

  async hide(name: string): Promise<void> {
    const hidden = this.#monitor.event(({ event, data }) => event === 'BLOCK_EXPORT_DELETED' && data?.['id'] === name);
    await this.tell('block-export-del', { id: name });
    await hidden;
  }

  async cancelJob(id: string): Promise<void> {
    const gone = this.#monitor.event(({ data }) => data?.['id'] === id && data['status'] === 'null');
    await this.tell('job-cancel', { id });
    await gone;
  }

  /** Ends it as a loss of power would. */
  async kill(): Promise<void> {
    this.#monitor.close();
    await this.#process.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#monitor.close();
    await this.#process[Symbol.asyncDispose]();
  }
}

/** As another client of the same export does, which a guest's disk is to its server. */
export function writeTo({ url }: { readonly url: string }, ...commands: readonly string[]): void {
  const said = run('qemu-io', '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), url);
  if (/failed|error/i.test(said)) throw new Error(`qemu-io ${url}: ${said}`);
}

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
  readonly data?: Json;
}

/** QMP: a JSON object a line (QEMU, docs/interop/qmp-spec.rst). Commands are answered in their order; events come in between. */
class Monitor {
  readonly #socket: Socket;
  readonly #answers: PromiseWithResolvers<void>[] = [];
  readonly #awaited = new Set<{ readonly is: (message: Message) => boolean; readonly come: () => void }>();

  private constructor(socket: Socket) {
    this.#socket = socket;
    createInterface({ input: socket }).on('line', (line) => this.#heard(JSON.parse(line) as Message));
    const ended = (): void => {
      for (const answer of this.#answers.splice(0)) answer.reject(new Error('the monitor has closed'));
    };
    socket.on('error', ended).on('close', ended);
  }

  static async open(path: string): Promise<Monitor> {
    const socket = connect(path);
    await once(socket, 'connect');
    const monitor = new Monitor(socket);
    await monitor.execute('qmp_capabilities', {});
    return monitor;
  }

  async execute(command: string, options: Json): Promise<void> {
    const answer = Promise.withResolvers<void>();
    this.#answers.push(answer);
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: options })}\n`);
    await answer.promise;
  }

  /** Resolves when an event that is meant has come; to be called before what brings it about. */
  async event(is: (message: Message) => boolean): Promise<void> {
    await new Promise<void>((resolve) => this.#awaited.add({ is, come: resolve }));
  }

  close(): void {
    this.#socket.destroy();
  }

  #heard(message: Message): void {
    if (message.event !== undefined) {
      for (const awaited of this.#awaited) {
        if (awaited.is(message) && this.#awaited.delete(awaited)) awaited.come();
      }
    } else if (message.error !== undefined) {
      this.#answers.shift()?.reject(new Error(message.error.desc));
    } else if (message.return !== undefined) {
      this.#answers.shift()?.resolve();
    }
  }
}
