import type { Clock } from '../std/clock.ts';
import type { BlockSource, SourceLocation } from '../volume/block-source.ts';
import { reopenSource } from '../volume/file-source.ts';

/** Opens what a run reads in a worker as well, by what kind of source it is. @throws as each kind's own */
export async function reopenAnySource(
  location: SourceLocation,
  { clock }: { readonly clock: Clock },
  { signal }: { readonly signal: AbortSignal },
): Promise<BlockSource> {
  switch (location.kind) {
    case 'file':
    case 'device':
      return await reopenSource(location, { signal });
    case 'nbd': {
      // Files need no network.
      const { reopenNbdSource } = await import('../nbd/nbd-source.ts');
      return await reopenNbdSource(location, { clock }, { signal });
    }
  }
}
