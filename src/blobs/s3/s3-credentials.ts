/**
 * Keys from where AWS's own tools look for them: environment, shared files and profiles, SSO, web identity, the roles of a
 * container or an instance (`find-aws-keys.ts`). Each thread asks for itself. Keys live in memory only.
 */
import { untilAborted } from '../../std/abort.ts';
import type { Clock } from '../../std/clock.ts';
import { BlobError } from '../blob-store.ts';
import type { SigningKeys } from './sign-v4.ts';

export interface FoundKeys extends SigningKeys {
  readonly expiration?: Date | undefined;
}

/**
 * Finds keys anew, reading files and asking services again. What fails with a BlobError has its code; whatever else is thrown
 * says that there are none.
 */
export type FindKeys = () => Promise<FoundKeys>;

/** Keys with less time left are replaced before a request takes them: the largest blob on a slow link. */
const renewBeforeMs = 5 * 60_000;
/** For so long a request waits for new keys while those at hand are good. */
const patienceMs = 5_000;
/** Longer than all services take with their own retries; a command that asks somebody to touch a device may take a while. */
const findMsMax = 120_000;
/** Made once for all searches. */
const over = new Error('the search is over');

export class S3Credentials {
  readonly #find: FindKeys;
  readonly #clock: Clock;
  #keys: FoundKeys | undefined;
  #finding: Promise<FoundKeys> | undefined;
  /** Over when nobody is to wait any longer for the search under way, who can do without. */
  #patience: Promise<void> = Promise.resolve();

  constructor({ clock, find }: { readonly clock: Clock; readonly find: FindKeys }) {
    this.#clock = clock;
    this.#find = find;
  }

  /** @throws {BlobError} `blob-credentials` when there are none, `blob-unavailable` when that may pass */
  async current({ signal }: { readonly signal: AbortSignal }): Promise<SigningKeys> {
    const keys = this.#keys;
    if (keys !== undefined && !this.#expiresWithin(keys, renewBeforeMs)) return keys;
    const found = this.#findAgain(signal);
    if (keys === undefined || this.#expiresWithin(keys, 0)) return await found;
    try {
      return await Promise.race([found, this.#patience.then(() => keys)]);
    } catch (error) {
      // A service that is away for a moment is no reason to stop while the keys at hand are good.
      if (signal.aborted) throw error;
      return keys;
    }
  }

  /** After `refused` was not accepted. @returns whether there are other keys now */
  async renew(refused: SigningKeys, { signal }: { readonly signal: AbortSignal }): Promise<boolean> {
    const known = this.#keys;
    const keys = known === undefined || sameKeys(known, refused) ? await this.#findAgain(signal) : known;
    return !sameKeys(keys, refused);
  }

  async #findAgain(signal: AbortSignal): Promise<FoundKeys> {
    this.#finding ??= this.#ask();
    return await Promise.race([this.#finding, untilAborted(signal)]);
  }

  async #ask(): Promise<FoundKeys> {
    const ended = new AbortController();
    try {
      this.#patience = this.#clock.sleep(patienceMs, { signal: ended.signal }).catch(() => undefined);
      const late = this.#clock.sleep(findMsMax, { signal: ended.signal }).then(() => {
        throw new BlobError('blob-unavailable', `no keys for S3 have come for ${findMsMax / 1000} seconds`);
      });
      this.#keys = await Promise.race([this.#find(), late]);
      return this.#keys;
    } catch (error) {
      if (error instanceof BlobError) throw error;
      // What has given keys before is there; it does not say why it gives none now.
      if (this.#keys !== undefined) throw new BlobError('blob-unavailable', noneNow, { cause: error });
      throw new BlobError('blob-credentials', 'no keys for S3 were found', { cause: error });
    } finally {
      ended.abort(over);
      this.#finding = undefined;
    }
  }

  #expiresWithin({ expiration }: FoundKeys, ms: number): boolean {
    return expiration !== undefined && expiration.getTime() < this.#clock.nowMs() + ms;
  }
}

/** For messages. */
export const noneNow = 'what gives the keys for S3 does not give any at the moment';

function sameKeys(a: SigningKeys, b: SigningKeys): boolean {
  return (
    a.accessKeyId === b.accessKeyId && a.secretAccessKey === b.secretAccessKey && a.sessionToken === b.sessionToken
  );
}
