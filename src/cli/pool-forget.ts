import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface PoolForgetOptions {
  /** A repository's URL, or its id in hexadecimal. It need not be there any more. */
  readonly repository: string;
  readonly dryRun: boolean;
}

export function registerPoolForget(parent: Command, context: CliContext, action: Action<PoolForgetOptions>): void {
  parent
    .command('forget')
    .summary('give up the snapshots that backups to a repository keep')
    .description(
      'Releases the snapshots on which the next backups to a repository would build, for one that is gone or no longer used.\n' +
        'Those that backups made themselves are removed. The repository is not opened; a backup to it reads everything again.',
    )
    .argument(
      '<repository>',
      'its URL as the backups had it, or its id, or the beginning of that; "dray pool status" shows both',
    )
    .option('--dry-run', 'say what would be released, and change nothing')
    .addHelpText(
      'after',
      examples('dray pool forget /old-backups --dry-run', 'dray pool forget s3://old/volumes --pool /srv/pool'),
    )
    .action(async (repository: string, { dryRun = false }: { readonly dryRun?: boolean }) => {
      await run(context, action, { repository, dryRun });
    });
}
