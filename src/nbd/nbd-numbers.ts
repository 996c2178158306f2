/** The numbers of the NBD protocol (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md), big-endian on the wire. */

export const magics = {
  server: 0x4e42444d41474943n,
  options: 0x49484156454f5054n,
  optionReply: 0x3e889045565a9n,
  oldServer: 0x420281861253n,
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
  extendedRequest: 0x21e41c71,
  extendedReply: 0x6e8a278c,
} as const;

/** Of the server in the handshake, and of the client in its answer. */
export const handshakeFlags = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const options = {
  exportName: 1,
  abort: 2,
  startTls: 5,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
  extendedHeaders: 11,
} as const;

export const optionReplies = {
  ack: 1,
  info: 3,
  metaContext: 4,
  unsupported: 0x8000_0001,
  policy: 0x8000_0002,
  invalid: 0x8000_0003,
  platform: 0x8000_0004,
  tlsRequired: 0x8000_0005,
  unknownExport: 0x8000_0006,
  shutdown: 0x8000_0007,
  blockSizeRequired: 0x8000_0008,
  tooBig: 0x8000_0009,
} as const;

export const infos = { export: 0, blockSize: 3 } as const;

export const exportFlags = { hasFlags: 1, readOnly: 2, canMultiConn: 0x100 } as const;

export const commands = { read: 0, disconnect: 2, blockStatus: 7 } as const;

export const replyTypes = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  blockStatusExtended: 6,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;
/** Set in the types of all errors, known or not. */
export const errorBit = 0x8000;
/** Flag of the last reply to a request. */
export const doneFlag = 1;

/** No string of the protocol is longer, bytes. */
export const stringBytesMax = 4096;

/** Errors of requests, which have one meaning on all systems. */
export const errnoNames: Readonly<Record<number, string>> = {
  1: 'EPERM',
  5: 'EIO',
  12: 'ENOMEM',
  22: 'EINVAL',
  28: 'ENOSPC',
  75: 'EOVERFLOW',
  95: 'ENOTSUP',
  108: 'ESHUTDOWN',
};
