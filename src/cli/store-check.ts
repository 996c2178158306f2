import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface StoreCheckOptions {
  /** Where, when it is not `--repository` or DRAY_REPOSITORY that says so. */
  readonly url: string | undefined;
}

export function registerStoreCheck(parent: Command, context: CliContext, action: Action<StoreCheckOptions>): void {
  parent
    .command('check')
    .summary('try whether a folder or a bucket keeps what repositories need')
    .description(
      'Does everything with small blobs that backups, restores and maintenance do, in places of their own inside the given\n' +
        'one (dray-check-…), and removes them again. What is there already is not touched, and no password is needed.',
    )
    .argument('[url]', 'where: a path, file:///path or s3://bucket/prefix (default: --repository)')
    .addHelpText('after', examples('dray store check s3://backups/volumes', 'dray store check /mnt/nas/backups'))
    .action(async (url: string | undefined) => await run(context, action, { url }));
}
