/** One change of manifests as a writing session of its own. */
import type { ManifestSet } from '../../repository/manifest/manifest-set.ts';
import type { CliContext } from '../shell/cli-context.ts';
import type { Repository } from '../../repository/repository.ts';

/** Applies `change`; what it changed is durable when this resolves. Nothing is written when it changes nothing. */
export async function changeManifests(
  context: CliContext,
  { repository, set }: { readonly repository: Repository; readonly set: ManifestSet },
  change: (set: ManifestSet) => void,
): Promise<void> {
  change(set);
  if (!set.hasPending) return;
  await using writer = await repository.writer(context.identity, { signal: context.signal });
  await repository.manifests.save(set, writer);
  await writer.finish();
}
