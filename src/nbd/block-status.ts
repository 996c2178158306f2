/**
 * What a server says of the blocks of an export, in one context: a list of lengths and flags that begins where was asked. Each context
 * has flags of its own (bit 0 is "hole" in one and "dirty" in another), so a list never leaves its context.
 */
import { NbdError } from './nbd-error.ts';

/** Which parts are holes, and which read as zeros. */
export const allocationContext = 'base:allocation';
/** What an NBD server calls a bitmap of QEMU's (QEMU, docs/interop/nbd.rst). */
export const bitmapContextPrefix = 'qemu:dirty-bitmap:';

export interface Descriptor {
  readonly lengthBytes: number;
  /** Absent: flags that are known nowhere, so they may mean anything. */
  readonly flags: number | undefined;
}

export interface ContextStatus {
  readonly context: number;
  readonly descriptors: readonly Descriptor[];
}

/**
 * The body of a reply of type BLOCK_STATUS or BLOCK_STATUS_EXT.
 * @param lengthBytes what was asked about: only the last descriptor may begin within and end past it
 * @throws {NbdError} `nbd-protocol`
 */
export function decodeBlockStatus(
  payload: Buffer,
  { extended, lengthBytes }: { readonly extended: boolean; readonly lengthBytes: number },
): ContextStatus {
  const headBytes = extended ? 8 : 4;
  const eachBytes = extended ? 16 : 8;
  const count = (payload.length - headBytes) / eachBytes;
  if (!Number.isInteger(count) || count < 1) throw wrong(`${payload.length} bytes of it`);
  if (extended && payload.readUInt32BE(4) !== count)
    throw wrong(`${count} descriptors, told were ${payload.readUInt32BE(4)}`);
  const descriptors: Descriptor[] = [];
  let coveredBytes = 0;
  for (let at = headBytes; at < payload.length; at += eachBytes) {
    const descriptor = extended ? wide(payload, at) : narrow(payload, at);
    if (descriptor.lengthBytes === 0) throw wrong('a descriptor of no length');
    if (coveredBytes >= lengthBytes) throw wrong(`more than the ${lengthBytes} bytes that were asked about`);
    coveredBytes += descriptor.lengthBytes;
    descriptors.push(descriptor);
  }
  return { context: payload.readUInt32BE(0), descriptors };
}

function narrow(payload: Buffer, at: number): Descriptor {
  return { lengthBytes: payload.readUInt32BE(at), flags: payload.readUInt32BE(at + 4) };
}

function wide(payload: Buffer, at: number): Descriptor {
  const length = payload.readBigUInt64BE(at);
  if (length > BigInt(Number.MAX_SAFE_INTEGER)) throw wrong(`a length of ${length}`);
  const flags = payload.readUInt32BE(at + 8) === 0 ? payload.readUInt32BE(at + 12) : undefined;
  return { lengthBytes: Number(length), flags };
}

/** Of `base:allocation`: only what is said to read as zeros does. A hole may hold anything. */
export function readsAsZeros({ flags }: Descriptor): boolean {
  const zero = 2;
  return flags !== undefined && (flags & zero) !== 0;
}

/** Of a bitmap: whatever it says but "clean" means that it may have been written to. */
export function isDirty({ flags }: Descriptor): boolean {
  return flags !== 0;
}

function wrong(what: string): NbdError {
  return new NbdError('nbd-protocol', `the server broke the protocol: a block status of ${what}`);
}
