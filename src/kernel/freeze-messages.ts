/**
 * What goes between `freeze-guard.ts` and its process, a line of JSON each. File systems are named by their place in the
 * list of mount points; the process has them open as descriptors from `firstFileDescriptor` on.
 */
export type GuardOrder =
  /** All of them, in order. Answer: `all-frozen`, `refused`, or `expired`. */
  | { readonly kind: 'freeze' }
  /** Answer: `thawed`. */
  | { readonly kind: 'thaw' };

export type GuardReport =
  | { readonly kind: 'ready' }
  /** From here on it may be frozen, and by us: told before, because the process may be killed within the call. */
  | { readonly kind: 'freezing'; readonly index: number }
  /** It was refused, or is thawed again. */
  | { readonly kind: 'not-frozen'; readonly index: number }
  | { readonly kind: 'all-frozen' }
  /** Those before it are thawed again. */
  | { readonly kind: 'refused'; readonly index: number; readonly errno: string }
  /** The bound has passed: all that was frozen is thawed, and what is still freezing will be as soon as it is. */
  | { readonly kind: 'expired'; readonly stuck: string | undefined }
  /** `stuck`: the error for which one could not be thawed. `frozenMs`: from before the first was frozen until all were thawed. */
  | {
      readonly kind: 'thawed';
      readonly intact: boolean;
      readonly stuck: string | undefined;
      readonly frozenMs: number;
    };

export const firstFileDescriptor = 3;
