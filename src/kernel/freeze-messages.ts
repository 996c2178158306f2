/**
 * What goes between `freeze-guard.ts` and its process, a line of JSON each. File systems are named by their place in the
 * list of folders; the process has them open as descriptors from `firstFileDescriptor` on, and after them the two files
 * of each clone.
 */
export type GuardOrder =
  /** All of them, in order. Answer: `all-frozen`, `refused`, or `expired`. */
  | { readonly kind: 'freeze' }
  /** All of them, then the clones, then thaw. Answer: `thawed`, `refused`, or `expired`. */
  | { readonly kind: 'clone' }
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
  /**
   * The bound has passed: all that was frozen is thawed, and what is still freezing will be as soon as it is. `cloning`: all had
   * been frozen.
   */
  | { readonly kind: 'expired'; readonly cloning: boolean; readonly stuck: string | undefined }
  /**
   * `stuck`: the error for which one could not be thawed. `frozenMs`: from before the first was frozen until all were
   * thawed. `failed`: the clone that could not be made.
   */
  | {
      readonly kind: 'thawed';
      readonly intact: boolean;
      readonly stuck: string | undefined;
      readonly frozenMs: number;
      readonly failed?: { readonly index: number; readonly errno: string } | undefined;
    };

export const firstFileDescriptor = 3;
