/**
 * Authenticated ciphers that write where the caller says. `node:crypto` returns a fresh buffer for every call, whose
 * page faults cost several times the cipher itself (1 MiB: 265 us against 54 us), so the OpenSSL that Node carries is
 * called directly (`EVP_*`, exported by its own binary). Where these symbols are missing, `node:crypto` does the same
 * work. Everything is synchronous; an instance belongs to one thread.
 */
import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, type CipherGCMTypes } from 'node:crypto';

import { ownFunctions } from './own-functions.ts';

export type AeadName = 'aes-256-gcm' | 'chacha20-poly1305';

export const aeadKeyBytes = 32;
export const aeadNonceBytes = 12;
export const aeadTagBytes = 16;

export interface AeadCall {
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** 12 bytes; never used twice with one key. */
  readonly nonce: Uint8Array;
  readonly additional: Uint8Array;
}

export interface Aead {
  /**
   * Writes ciphertext and tag, `plain.length + 16` bytes, to the beginning of `out`. `plain` may be the beginning of
   * `out` itself; any other overlap is not allowed.
   */
  seal(call: AeadCall, plain: Uint8Array, out: Uint8Array): void;
  /**
   * Writes the plaintext, `sealed.length - 16` bytes, to the beginning of `out`, which may be `sealed` itself.
   * @returns false when authentication fails; what is in `out` then is zeros.
   */
  open(call: AeadCall, sealed: Uint8Array, out: Uint8Array): boolean;
}

/** The fastest implementation here. */
export function aead(name: AeadName): Aead {
  const openssl = library();
  return openssl === undefined ? new NodeAead(name) : new OpensslAead(name, openssl);
}

export class NodeAead implements Aead {
  /** Both names take the same options; only AES-GCM has a type for them. */
  readonly #name: CipherGCMTypes;

  constructor(name: AeadName) {
    this.#name = name as CipherGCMTypes;
  }

  seal({ key, nonce, additional }: AeadCall, plain: Uint8Array, out: Uint8Array): void {
    const cipher = createCipheriv(this.#name, key, nonce, { authTagLength: aeadTagBytes });
    cipher.setAAD(additional);
    const body = cipher.update(plain);
    cipher.final();
    out.set(body);
    out.set(cipher.getAuthTag(), body.length);
  }

  open({ key, nonce, additional }: AeadCall, sealed: Uint8Array, out: Uint8Array): boolean {
    const bodyBytes = sealed.length - aeadTagBytes;
    assert(bodyBytes >= 0 && out.length >= bodyBytes);
    const decipher = createDecipheriv(this.#name, key, nonce, { authTagLength: aeadTagBytes });
    decipher.setAAD(additional);
    decipher.setAuthTag(sealed.subarray(bodyBytes));
    const body = decipher.update(sealed.subarray(0, bodyBytes));
    try {
      decipher.final();
    } catch {
      out.fill(0, 0, bodyBytes);
      return false;
    }
    out.set(body);
    return true;
  }
}

type Pointer = object | bigint | number;

interface Openssl {
  readonly newContext: () => Pointer | null;
  readonly freeContext: (context: Pointer) => void;
  readonly cipherByName: (name: string) => Pointer | null;
  readonly init: (
    context: Pointer,
    cipher: Pointer | null,
    engine: null,
    key: Uint8Array | null,
    iv: Uint8Array | null,
    encrypt: 0 | 1,
  ) => number;
  readonly update: (
    context: Pointer,
    out: Uint8Array | null,
    outBytes: Int32Array,
    input: Uint8Array,
    inputBytes: number,
  ) => number;
  readonly final: (context: Pointer, out: Uint8Array, outBytes: Int32Array) => number;
  readonly control: (context: Pointer, command: number, argument: number, data: Uint8Array) => number;
  readonly clearErrors: () => void;
}

const getTag = 0x10;
const setTag = 0x11;

/** One context for each direction; setting key and nonce begins a new message. */
class OpensslAead implements Aead {
  readonly #openssl: Openssl;
  readonly #sealing: Pointer;
  readonly #opening: Pointer;
  readonly #written = new Int32Array(1);
  /** OpenSSL takes no pointer into an empty array. */
  readonly #nothing = new Uint8Array(aeadTagBytes);

  constructor(name: AeadName, openssl: Openssl) {
    this.#openssl = openssl;
    this.#sealing = newContext(openssl, name, 1);
    this.#opening = newContext(openssl, name, 0);
    contexts.register(this, { openssl, pointers: [this.#sealing, this.#opening] });
  }

  seal(call: AeadCall, plain: Uint8Array, out: Uint8Array): void {
    assert(out.length >= plain.length + aeadTagBytes);
    const context = this.#begin(this.#sealing, call, 1);
    if (plain.length > 0) this.#update(context, out, plain);
    assert(this.#openssl.final(context, this.#nothing, this.#written) === 1 && this.#written[0] === 0);
    const tag = out.subarray(plain.length, plain.length + aeadTagBytes);
    assert(this.#openssl.control(context, getTag, aeadTagBytes, tag) === 1);
  }

  open(call: AeadCall, sealed: Uint8Array, out: Uint8Array): boolean {
    const bodyBytes = sealed.length - aeadTagBytes;
    assert(bodyBytes >= 0 && out.length >= bodyBytes);
    const context = this.#begin(this.#opening, call, 0);
    assert(this.#openssl.control(context, setTag, aeadTagBytes, sealed.subarray(bodyBytes)) === 1);
    if (bodyBytes > 0) this.#update(context, out, sealed.subarray(0, bodyBytes));
    if (this.#openssl.final(context, this.#nothing, this.#written) === 1) return true;
    out.fill(0, 0, bodyBytes);
    // An error left in the thread's queue would be blamed on the next caller of OpenSSL.
    this.#openssl.clearErrors();
    return false;
  }

  #begin(context: Pointer, { key, nonce, additional }: AeadCall, encrypt: 0 | 1): Pointer {
    assert(key.length === aeadKeyBytes && nonce.length === aeadNonceBytes);
    assert(this.#openssl.init(context, null, null, key, nonce, encrypt) === 1);
    if (additional.length > 0) this.#update(context, null, additional);
    return context;
  }

  #update(context: Pointer, out: Uint8Array | null, input: Uint8Array): void {
    const done = this.#openssl.update(context, out, this.#written, input, input.length);
    assert(done === 1 && this.#written[0] === input.length);
  }
}

function newContext(openssl: Openssl, name: AeadName, encrypt: 0 | 1): Pointer {
  const cipher = openssl.cipherByName(name);
  const context = openssl.newContext();
  assert(cipher !== null && context !== null);
  assert(openssl.init(context, cipher, null, null, null, encrypt) === 1);
  return context;
}

const contexts = new FinalizationRegistry<{ readonly openssl: Openssl; readonly pointers: readonly Pointer[] }>(
  ({ openssl, pointers }) => {
    for (const pointer of pointers) openssl.freeContext(pointer);
  },
);

const library = ownFunctions<Openssl>((self) => {
  return {
    newContext: self.func('void *EVP_CIPHER_CTX_new()'),
    freeContext: self.func('void EVP_CIPHER_CTX_free(void *context)'),
    cipherByName: self.func('void *EVP_get_cipherbyname(const char *name)'),
    init: self.func(
      'int EVP_CipherInit_ex(void *context, void *cipher, void *engine, void *key, void *iv, int encrypt)',
    ),
    update: self.func('int EVP_CipherUpdate(void *context, void *out, void *outBytes, void *input, int inputBytes)'),
    final: self.func('int EVP_CipherFinal_ex(void *context, void *out, void *outBytes)'),
    control: self.func('int EVP_CIPHER_CTX_ctrl(void *context, int command, int argument, void *data)'),
    clearErrors: self.func('void ERR_clear_error()'),
  };
});
