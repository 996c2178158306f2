/**
 * Keyed hashes, of which many are made with one key. `node:crypto` makes a stream and a native object for each
 * (HMAC-SHA256 of 16 bytes: 5.2 us against 0.8), so the OpenSSL that Node carries is called directly, as in `aead.ts`, and
 * begins again with the key that it has. Where its symbols are missing, `node:crypto` does the same work. Everything is
 * synchronous; an instance belongs to one thread.
 */
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import * as crypto from 'node:crypto';

import { ownFunctions } from './own-functions.ts';

/** BLAKE2b with a digest length of 32 as its parameter, and a key of 1 to 64 bytes (RFC 7693). */
export type MacName = 'hmac-sha256' | 'blake2b-256';

export const macBytes = 32;

export interface Mac {
  /** Writes 32 bytes to the beginning of `out`. `data` may be a view of shared memory. */
  into(data: Uint8Array, out: Uint8Array): void;
}

/** The fastest implementation here. The key is copied. */
export function mac(name: MacName, key: Uint8Array): Mac {
  const openssl = library();
  return openssl === undefined ? new NodeMac(name, key) : new OpensslMac(name, key, openssl);
}

interface CreatedMac {
  update(data: Uint8Array): CreatedMac;
  final(): Buffer;
}
type CreateMac = (name: string, key: Uint8Array, options: { readonly outputLength: number }) => CreatedMac;

/** `crypto.createMac` of Node 26, which the type package does not know yet. */
export const createMac: CreateMac = (crypto as unknown as { readonly createMac: CreateMac }).createMac;

export class NodeMac implements Mac {
  readonly #name: MacName;
  readonly #key: Uint8Array;

  constructor(name: MacName, key: Uint8Array) {
    this.#name = name;
    this.#key = Uint8Array.from(key);
  }

  into(data: Uint8Array, out: Uint8Array): void {
    assert(out.length >= macBytes);
    if (this.#name === 'hmac-sha256') out.set(createHmac('sha256', this.#key).update(data).digest());
    else out.set(createMac('blake2bmac', this.#key, { outputLength: macBytes }).update(data).final());
  }
}

type Pointer = object | bigint | number;

interface Openssl {
  readonly fetch: (library: null, name: string, properties: null) => Pointer | null;
  readonly newContext: (mac: Pointer) => Pointer | null;
  readonly freeContext: (context: Pointer) => void;
  readonly setParameters: (context: Pointer, parameters: readonly Parameter[]) => number;
  readonly init: (context: Pointer, key: Uint8Array | null, keyBytes: number, parameters: null) => number;
  readonly update: (context: Pointer, data: Uint8Array, dataBytes: number) => number;
  readonly final: (context: Pointer, out: Uint8Array, written: BigUint64Array, outBytes: number) => number;
}

/** `OSSL_PARAM` (openssl/core.h). */
interface Parameter {
  readonly key: string | null;
  readonly data_type: number;
  readonly data: Uint8Array | null;
  readonly data_size: number;
  readonly return_size: number;
}

const unsignedInteger = 2;
const utf8String = 4;
const end: Parameter = { key: null, data_type: 0, data: null, data_size: 0, return_size: 0 };

const algorithms: Readonly<Record<MacName, { readonly name: string; readonly parameter: Parameter }>> = {
  'hmac-sha256': {
    name: 'HMAC',
    // The provider reads it up to the NUL, whatever the size says.
    parameter: { ...parameter('digest', utf8String, Buffer.from('SHA256\0')), data_size: 'SHA256'.length },
  },
  'blake2b-256': {
    name: 'BLAKE2BMAC',
    parameter: parameter('size', unsignedInteger, new Uint8Array(BigUint64Array.of(BigInt(macBytes)).buffer)),
  },
};

function parameter(key: string, type: number, data: Uint8Array): Parameter {
  return { key, data_type: type, data, data_size: data.length, return_size: 0 };
}

class OpensslMac implements Mac {
  readonly #openssl: Openssl;
  readonly #context: Pointer;
  readonly #written = new BigUint64Array(1);

  constructor(name: MacName, key: Uint8Array, openssl: Openssl) {
    assert(key.length > 0);
    const algorithm = algorithms[name];
    const found = openssl.fetch(null, algorithm.name, null);
    const context = found === null ? null : openssl.newContext(found);
    assert(context !== null);
    contexts.register(this, { openssl, context });
    assert(openssl.setParameters(context, [algorithm.parameter, end]) === 1);
    assert(openssl.init(context, key, key.length, null) === 1);
    this.#openssl = openssl;
    this.#context = context;
  }

  into(data: Uint8Array, out: Uint8Array): void {
    assert(out.length >= macBytes);
    const { init, update, final } = this.#openssl;
    // Without a key: with the one from before.
    assert(init(this.#context, null, 0, null) === 1);
    // OpenSSL takes no pointer into an empty array.
    if (data.length > 0) assert(update(this.#context, data, data.length) === 1);
    assert(final(this.#context, out, this.#written, macBytes) === 1 && this.#written[0] === BigInt(macBytes));
  }
}

const contexts = new FinalizationRegistry<{ readonly openssl: Openssl; readonly context: Pointer }>(
  ({ openssl, context }) => openssl.freeContext(context),
);

const library = ownFunctions<Openssl>((self, ffi) => {
  const parameterType = ffi.struct({
    key: 'const char *',
    data_type: 'unsigned int',
    data: 'void *',
    data_size: 'size_t',
    return_size: 'size_t',
  });
  return {
    fetch: self.func('void *EVP_MAC_fetch(void *library, const char *name, const char *properties)'),
    newContext: self.func('void *EVP_MAC_CTX_new(void *mac)'),
    freeContext: self.func('void EVP_MAC_CTX_free(void *context)'),
    setParameters: self.func('EVP_MAC_CTX_set_params', 'int', ['void *', ffi.pointer(parameterType)]),
    init: self.func('int EVP_MAC_init(void *context, void *key, size_t keyBytes, void *parameters)'),
    update: self.func('int EVP_MAC_update(void *context, void *data, size_t dataBytes)'),
    final: self.func('int EVP_MAC_final(void *context, void *out, void *written, size_t outBytes)'),
  };
});
