import { DrayError } from '../std/dray-error.ts';

/**
 * - `nbd-url`: not the address of an export, or one with a part that is not known here.
 * - `nbd-unreachable`: nobody answers there, or no more: refused, closed, or silent for too long.
 * - `nbd-export-missing`: the server has no export of this name.
 * - `nbd-refused`: the server does not let this client in, or cannot do what is needed.
 * - `nbd-too-large`: the export has more bytes than a volume can have.
 * - `nbd-tls`: one side wants TLS and the other has none, or a certificate is not trusted or cannot be read.
 * - `nbd-protocol`: the server says what the protocol does not allow; nothing of it is believed.
 * - `nbd-io`: the server reports that it could not carry out a request.
 */
export class NbdError extends DrayError<
  | 'nbd-url'
  | 'nbd-unreachable'
  | 'nbd-export-missing'
  | 'nbd-refused'
  | 'nbd-too-large'
  | 'nbd-tls'
  | 'nbd-protocol'
  | 'nbd-io'
> {}
