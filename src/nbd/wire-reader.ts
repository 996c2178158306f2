/** Reads from a socket so many bytes at a time, for the handshake; what comes later goes to whoever takes the socket over. */
import type { Socket } from 'node:net';
import { NbdError } from './nbd-error.ts';

/** More than any option's answer, which the protocol has no need for. */
const heldBytesMax = 1024 * 1024;

interface Waiting {
  readonly lengthBytes: number;
  readonly taken: PromiseWithResolvers<Buffer>;
}

export class WireReader {
  readonly #socket: Socket;
  #held: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;
  #ended: Error | undefined;
  readonly #onData = (piece: Buffer): void => this.#take(piece);
  readonly #onError = (error: Error): void =>
    this.#end(new NbdError('nbd-unreachable', 'the connection broke', { cause: error }));
  readonly #onClose = (): void => this.#end(new NbdError('nbd-unreachable', 'the server closed the connection'));

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', this.#onData);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    socket.on('end', this.#onClose);
  }

  /**
   * The next bytes, in order; they are the caller's. One call at a time.
   * @throws {NbdError} `nbd-unreachable` when the connection ends before they came
   */
  async take(lengthBytes: number): Promise<Buffer> {
    const taken = Promise.withResolvers<Buffer>();
    this.#waiting = { lengthBytes, taken };
    this.#serve();
    return await taken.promise;
  }

  /** Ends the reading. @returns what has come and was not taken */
  detach(): Buffer {
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    this.#socket.off('error', this.#onError);
    this.#socket.off('close', this.#onClose);
    this.#socket.off('end', this.#onClose);
    return this.#held;
  }

  #take(piece: Buffer): void {
    this.#held = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    if (this.#held.length > heldBytesMax) this.#end(new NbdError('nbd-protocol', 'the server speaks out of turn'));
    this.#serve();
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#serve();
  }

  #serve(): void {
    const { lengthBytes, taken } = this.#waiting ?? {};
    if (lengthBytes === undefined || taken === undefined) return;
    if (this.#held.length >= lengthBytes) {
      this.#waiting = undefined;
      const bytes = Buffer.from(this.#held.subarray(0, lengthBytes));
      this.#held = this.#held.subarray(lengthBytes);
      taken.resolve(bytes);
    } else if (this.#ended !== undefined) {
      this.#waiting = undefined;
      taken.reject(this.#ended);
    }
  }
}
