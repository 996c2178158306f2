import { resolve } from 'node:path';
import { canonicalNbdUrl, isNbdUrl, parseNbdUrl } from '../../nbd/nbd-url.ts';
import { isPoolName } from '../../pool/pool-names.ts';
import { parseSource, type SnapshotSource } from '../../repository/manifest/snapshot-source.ts';
import type { CliContext } from '../shell/cli-context.ts';

/**
 * A source as users name it: `user@host:/path`, a volume of the pool, whatever host stored it, or a path or the address of an
 * export of their own.
 * @throws {CliError} `name-ambiguous`, as `meansVolume`
 */
export async function sourceOf(context: CliContext, text: string): Promise<Partial<SnapshotSource>> {
  if (isNbdUrl(text)) return { ...context.identity, path: canonicalNbdUrl(parseNbdUrl(text)) };
  const named =
    parseSource(text) ?? (context.poolNamed && isPoolName(text) ? await volumeSource(context, text) : undefined);
  return named ?? { ...context.identity, path: resolve(text) };
}

/** Pools are loaded only here: most lists are of none. */
async function volumeSource(context: CliContext, word: string): Promise<Partial<SnapshotSource> | undefined> {
  const { meansVolume } = await import('./means-volume.ts');
  if (!(await meansVolume(context, word, { mayBeGone: true }))) return undefined;
  const [{ openPool }, { poolVolumeSource }] = await Promise.all([
    import('./open-pool.ts'),
    import('../../transfer/pool-origin.ts'),
  ]);
  return poolVolumeSource(openPool(context), word);
}
