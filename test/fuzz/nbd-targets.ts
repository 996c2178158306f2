/** Decoders of what an NBD server says, and of its address. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { decodeBlockStatus } from '../../src/nbd/block-status.ts';
import { negotiate } from '../../src/nbd/handshake.ts';
import { canonicalNbdUrl, parseNbdUrl } from '../../src/nbd/nbd-url.ts';
import { type ReplyMode, ReplyReader } from '../../src/nbd/reply-reader.ts';
import { type Answered, ReadAnswer, StatusAnswer } from '../../src/nbd/request-answers.ts';
import { extent } from '../../src/volume/extent.ts';
import { numbers, optionReply } from '../nbd/scripted-server.ts';
import { type FuzzTarget, text } from './fuzz-target.ts';

export function nbdTargets(): FuzzTarget[] {
  return [
    ...(['simple', 'structured', 'extended'] as const).map(replies),
    ...[false, true].map(blockStatus),
    {
      name: 'greeting and options of an NBD server',
      valid: [greeting({ structured: true }), greeting({ structured: false })],
      decode: async (bytes) => await negotiate(saying(bytes), request),
    },
    {
      name: 'address of an NBD export',
      valid: ['nbd://h:1/a%2f', 'nbds://[::1]/x?tls-certificates=/c&tls-hostname=h', 'nbd+unix:///x?socket=/run/s'].map(
        (each) => Buffer.from(each),
      ),
      decode: (bytes) => parseNbdUrl(canonicalNbdUrl(parseNbdUrl(text(bytes)))),
    },
  ];
}

const request = { exportName: 'x', contexts: ['base:allocation'], listPrefix: 'qemu:dirty-bitmap:' };

function greeting({ structured }: { readonly structured: boolean }): Buffer {
  const unsupported = 0x8000_0001;
  const context = (option: number, name: string): Buffer =>
    Buffer.concat([
      optionReply(option, 4, Buffer.concat([numbers([32, 5]), Buffer.from(name)])),
      optionReply(option, 1),
    ]);
  return Buffer.concat([
    numbers([64, 0x4e42444d41474943n], [64, 0x49484156454f5054n], [16, 3]),
    optionReply(11, unsupported, Buffer.from('not that')),
    optionReply(8, structured ? 1 : unsupported),
    ...(structured ? [context(9, 'qemu:dirty-bitmap:b'), context(10, 'base:allocation')] : []),
    optionReply(7, 3, numbers([16, 0], [64, 2 ** 30], [16, 3])),
    optionReply(7, 3, numbers([16, 3], [32, 512], [32, 4096], [32, 2 ** 25])),
    optionReply(7, 1),
  ]);
}

/** A server that has said this, and has hung up. */
function saying(bytes: Uint8Array): Socket {
  const socket = new Duplex({ read: () => undefined, write: (_bytes, _encoding, done) => done() });
  socket.push(bytes);
  socket.push(null);
  return socket as unknown as Socket;
}

function replies(mode: ReplyMode): FuzzTarget {
  const data = Buffer.alloc(512, 7);
  const chunk = (cookie: number, type: number, payload: Buffer, done: boolean): Buffer =>
    mode === 'extended'
      ? Buffer.concat([
          numbers([32, 0x6e8a278c], [16, done ? 1 : 0], [16, type], [64, cookie], [64, 8192], [64, payload.length]),
          payload,
        ])
      : Buffer.concat([
          numbers([32, 0x668e33ef], [16, done ? 1 : 0], [16, type], [64, cookie], [32, payload.length]),
          payload,
        ]);
  const simple = (cookie: number, errno: number): Buffer => numbers([32, 0x67446698], [32, errno], [64, cookie]);
  const status =
    mode === 'extended'
      ? chunk(2, 6, numbers([32, 3], [32, 1], [64, 512], [64, 2]), true)
      : chunk(2, 5, numbers([32, 3], [32, 256], [32, 0], [32, 4096], [32, 2]), true);
  const valid =
    mode === 'simple'
      ? [Buffer.concat([simple(1, 0), data, simple(2, 5)])]
      : [
          Buffer.concat([chunk(1, 1, Buffer.concat([numbers([64, 8192]), data]), true), status]),
          Buffer.concat([
            chunk(1, 2, numbers([64, 8192], [32, 256]), false),
            chunk(1, 0x8002, numbers([32, 5], [16, 1], [8, 0x78], [64, 8448]), false),
            chunk(1, 0, Buffer.alloc(0), true),
          ]),
        ];
  return {
    name: `${mode} replies of an NBD server`,
    valid,
    decode: (bytes) => {
      const open = new Map<bigint, Answered>([
        [1n, new ReadAnswer(extent(8192, 512), new Uint8Array(512))],
        [2n, new StatusAnswer(extent(8192, 512), new Map([[3, 'base:allocation']]))],
      ]);
      const reader = new ReplyReader({
        mode,
        find: (cookie) => open.get(cookie),
        finish: (cookie) => void open.delete(cookie),
      });
      reader.push(bytes);
    },
  };
}

function blockStatus(extended: boolean): FuzzTarget {
  return {
    name: `block status of ${extended ? 64 : 32} bits`,
    valid: [
      extended
        ? numbers([32, 3], [32, 2], [64, 512], [64, 2], [64, 2 ** 40], [64, 0])
        : numbers([32, 3], [32, 512], [32, 2], [32, 4096], [32, 0]),
    ],
    decode: (bytes) => decodeBlockStatus(Buffer.from(bytes), { extended, lengthBytes: 1024 }),
  };
}
