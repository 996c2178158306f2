/**
 * An NBD server that does as a test says: it serves bytes like any other, and answers what the script answers instead. It covers what the real
 * servers here do not do: extended headers, and breaking the protocol.
 */
import { createServer, type Socket } from 'node:net';
import { listenHere } from '../support/listen-here.ts';

export interface ServerScript {
  readonly content: Buffer;
  /** What the server knows. Everything, unless told. */
  readonly knows?: Partial<Record<'extended' | 'structured' | 'go' | 'fixed', boolean>>;
  readonly multiConn?: boolean;
  /** Least and greatest length of requests. */
  readonly blocks?: readonly [number, number];
  /** By name; what each says of a range, as pairs of length and flags. */
  readonly contexts?: Readonly<
    Record<string, (offset: number, length: number) => readonly (readonly [number, number])[]>
  >;
  /** Sent instead of the answer to an option; `close` hangs up, `hang` says nothing. */
  readonly option?: (option: number, data: Buffer) => Buffer | 'close' | 'hang' | undefined;
  /** Sent instead of the answer to a request. */
  readonly request?: (request: Request) => Buffer | 'close' | 'hang' | undefined;
  /** Sent instead of the greeting. */
  readonly greeting?: Buffer;
}

export interface Request {
  readonly command: number;
  readonly cookie: bigint;
  readonly offset: number;
  readonly length: number;
}

export interface ScriptedServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly Request[];
  readonly options: readonly number[];
  /** Connections that were made, and those that are open. */
  readonly connections: { made: number; open: number };
}

export async function scriptedServer(script: ServerScript): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  const requests: Request[] = [];
  const options: number[] = [];
  const connections = { made: 0, open: 0 };
  const server = createServer((socket) => {
    sockets.add(socket);
    connections.made += 1;
    connections.open += 1;
    socket.on('error', () => undefined).on('close', () => (connections.open -= 1));
    void new Talk(socket, script, requests, options).run().catch(() => socket.destroy());
  });
  const port = await listenHere(server);
  return {
    url: `nbd://127.0.0.1:${port}/disk`,
    requests,
    options,
    connections,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export function numbers(...parts: readonly (readonly [8 | 16 | 32 | 64, number | bigint])[]): Buffer {
  const digits = parts.map(([bits, value]) =>
    BigInt(value)
      .toString(16)
      .padStart(bits / 4, '0'),
  );
  return Buffer.from(digits.join(''), 'hex');
}

export function optionReply(option: number, type: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([numbers([64, 0x3e889045565a9n], [32, option], [32, type], [32, data.length]), data]);
}

export function structuredReply(
  cookie: bigint,
  type: number,
  payload: Uint8Array,
  { done = true }: { readonly done?: boolean } = {},
): Buffer {
  const head = numbers([32, 0x668e33ef], [16, done ? 1 : 0], [16, type], [64, cookie], [32, payload.length]);
  return Buffer.concat([head, payload]);
}

const unsupported = 0x8000_0001;

class Talk {
  readonly #socket: Socket;
  readonly #script: ServerScript;
  readonly #requests: Request[];
  readonly #options: number[];
  readonly #contexts = new Map<number, string>();
  #held = Buffer.alloc(0);
  #more = Promise.withResolvers<void>();
  #mode: 'simple' | 'structured' | 'extended' = 'simple';

  constructor(socket: Socket, script: ServerScript, requests: Request[], options: number[]) {
    this.#socket = socket;
    this.#script = script;
    this.#requests = requests;
    this.#options = options;
    socket.on('data', (piece) => {
      this.#held = Buffer.concat([this.#held, piece as Buffer]);
      this.#more.resolve();
    });
    socket.on('close', () => this.#more.reject(new Error('closed')));
    this.#more.promise.catch(() => undefined);
  }

  async run(): Promise<void> {
    const { greeting, knows = {} } = this.#script;
    const flags = knows.fixed === false ? 0 : 3;
    this.#socket.write(greeting ?? numbers([64, 0x4e42444d41474943n], [64, 0x49484156454f5054n], [16, flags]));
    await this.#take(4);
    for (;;) {
      const head = await this.#take(16);
      const option = head.readUInt32BE(8);
      this.#options.push(option);
      const answer = this.#answer(option, await this.#take(head.readUInt32BE(12)));
      if (answer === 'hang') continue;
      if (answer === 'close') return void this.#socket.destroy();
      this.#socket.write(answer.bytes);
      if (answer.begins) break;
    }
    for (;;) await this.#serve();
  }

  #answer(option: number, data: Buffer): 'close' | 'hang' | { readonly bytes: Buffer; readonly begins: boolean } {
    const scripted = this.#script.option?.(option, data);
    if (scripted === 'close' || scripted === 'hang') return scripted;
    if (scripted !== undefined) return { bytes: scripted, begins: false };
    const { content, knows = {}, multiConn = true, blocks = [1, 2 ** 25], contexts = {} } = this.#script;
    const ack = optionReply(option, 1);
    const facts = numbers([64, content.length], [16, 1 | 2 | (multiConn ? 0x100 : 0)]);
    if (option === 1)
      return { bytes: knows.fixed === false ? Buffer.concat([facts, Buffer.alloc(124)]) : facts, begins: true };
    if (option === 7 && knows.go !== false) {
      const size = optionReply(7, 3, numbers([16, 3], [32, blocks[0]], [32, 4096], [32, blocks[1]]));
      return {
        bytes: Buffer.concat([optionReply(7, 3, Buffer.concat([numbers([16, 0]), facts])), size, ack]),
        begins: true,
      };
    }
    if (option === 8 && knows.structured !== false) {
      this.#mode = 'structured';
      return { bytes: ack, begins: false };
    }
    if (option === 11 && knows.extended !== false) {
      this.#mode = 'extended';
      return { bytes: ack, begins: false };
    }
    if (option === 9 || option === 10)
      return { bytes: Buffer.concat([...this.#contextsIn(option, data, contexts), ack]), begins: false };
    return { bytes: optionReply(option, unsupported), begins: false };
  }

  #contextsIn(option: number, data: Buffer, contexts: NonNullable<ServerScript['contexts']>): Buffer[] {
    const queries: string[] = [];
    for (let at = 8 + data.readUInt32BE(0); at < data.length; at += 4 + data.readUInt32BE(at)) {
      queries.push(data.toString('utf8', at + 4, at + 4 + data.readUInt32BE(at)));
    }
    const fits = (name: string): boolean =>
      option === 10 ? queries.includes(name) : queries.some((query) => name.startsWith(query));
    const names = Object.keys(contexts).filter(fits);
    // Ids that are no positions.
    if (option === 10) for (const [index, name] of names.entries()) this.#contexts.set(40 + index, name);
    return names.map((name, index) =>
      optionReply(option, 4, Buffer.concat([numbers([32, option === 10 ? 40 + index : 0]), Buffer.from(name)])),
    );
  }

  async #serve(): Promise<void> {
    const head = await this.#take(this.#mode === 'extended' ? 32 : 28);
    const length = this.#mode === 'extended' ? Number(head.readBigUInt64BE(24)) : head.readUInt32BE(24);
    const request: Request = {
      command: head.readUInt16BE(6),
      cookie: head.readBigUInt64BE(8),
      offset: Number(head.readBigUInt64BE(16)),
      length,
    };
    this.#requests.push(request);
    const scripted = this.#script.request?.(request);
    if (scripted === 'hang') return;
    if (scripted === 'close' || request.command === 2) return void this.#socket.destroy();
    this.#socket.write(scripted ?? this.#reply(request));
  }

  #reply({ command, cookie, offset, length }: Request): Buffer {
    const { content, contexts = {} } = this.#script;
    const extended = this.#mode === 'extended';
    const chunk = (type: number, payload: Buffer, done: boolean): Buffer =>
      extended
        ? Buffer.concat([
            numbers([32, 0x6e8a278c], [16, done ? 1 : 0], [16, type], [64, cookie], [64, offset], [64, payload.length]),
            payload,
          ])
        : structuredReply(cookie, type, payload, { done });
    if (command === 0) {
      const bytes = content.subarray(offset, offset + length);
      if (this.#mode === 'simple') return Buffer.concat([numbers([32, 0x67446698], [32, 0], [64, cookie]), bytes]);
      return chunk(1, Buffer.concat([numbers([64, offset]), bytes]), true);
    }
    const lists = [...this.#contexts].map(([id, name]) => {
      const pairs = contexts[name]!(offset, length);
      if (!extended)
        return chunk(
          5,
          numbers(
            [32, id],
            ...pairs.flatMap(
              ([size, flags]) =>
                [
                  [32, size],
                  [32, flags],
                ] as const,
            ),
          ),
          false,
        );
      return chunk(
        6,
        numbers(
          [32, id],
          [32, pairs.length],
          ...pairs.flatMap(
            ([size, flags]) =>
              [
                [64, size],
                [64, flags],
              ] as const,
          ),
        ),
        false,
      );
    });
    return Buffer.concat([...lists, chunk(0, Buffer.alloc(0), true)]);
  }

  async #take(lengthBytes: number): Promise<Buffer> {
    while (this.#held.length < lengthBytes) {
      await this.#more.promise;
      if (this.#held.length < lengthBytes) {
        this.#more = Promise.withResolvers<void>();
        this.#more.promise.catch(() => undefined);
        if (this.#socket.destroyed) throw new Error('closed');
      }
    }
    const bytes = this.#held.subarray(0, lengthBytes);
    this.#held = this.#held.subarray(lengthBytes);
    return bytes;
  }
}
