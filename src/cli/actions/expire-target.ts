import { parseSource } from '../../repository/manifest/snapshot-source.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';
import { isPoolSnapshot } from '../shell/option-values.ts';
import { meansVolume } from './means-volume.ts';

export type ExpireTarget =
  /** No source: all of the repository. */
  | { readonly of: 'repository'; readonly source: string | undefined }
  /** No volumes: all of the pool. */
  | { readonly of: 'pool'; readonly volumes: readonly string[] | undefined };

/**
 * Whose snapshots are to go. A repository that the command line names is meant, whatever else it says. Otherwise words mean
 * volumes as everywhere (`meansVolume`), and without any the pool is meant where the command line names it, or where no
 * repository is named at all. Nothing that is mistyped is a path here.
 * @throws {CliError} `usage`; all that `meansVolume` throws
 */
export async function expireTarget(context: CliContext, words: readonly string[]): Promise<ExpireTarget> {
  const volumes: string[] = [];
  const sources: string[] = [];
  for (const word of new Set(words)) {
    if (context.repositoryGiven || parseSource(word) !== undefined || !(await meansVolume(context, word))) {
      sources.push(word);
      continue;
    }
    if (isPoolSnapshot(word)) {
      throw new CliError('usage', `"${word}" names a snapshot; a volume is meant here, as "${word.split('@')[0]}"`);
    }
    volumes.push(word);
  }
  if (volumes.length > 0 && sources.length > 0) {
    throw new CliError('usage', `${volumes[0]} is a volume of the pool, ${sources[0]} a source of the repository`);
  }
  if (sources.length > 1) throw new CliError('usage', 'only one source of a repository can be named');
  if (volumes.length > 0) return { of: 'pool', volumes };
  const noRepository = context.poolGiven || (context.poolNamed && !context.repositoryNamed);
  if (sources.length === 0 && noRepository && !context.repositoryGiven) return { of: 'pool', volumes: undefined };
  return { of: 'repository', source: sources[0] };
}
