import { type Command, Option } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface RepositoryMaintainOptions {
  readonly mode: 'auto' | 'quick' | 'full';
  readonly dryRun: boolean;
  /** The client to make the owner, `user@host` or `me`; then nothing else is done. */
  readonly owner: string | undefined;
}

export function registerRepositoryMaintain(
  parent: Command,
  context: CliContext,
  action: Action<RepositoryMaintainOptions>,
): void {
  parent
    .command('maintain')
    .summary('give back the room of deleted snapshots, and keep the index small')
    .description(
      "Does what is due by Kopia's schedule and rules, and may take turns with kopia on the same repository. A quick run\n" +
        'merges index blobs; a full one also marks contents that no snapshot needs, drops those marked long ago, gathers\n' +
        'small packs, and removes packs that nothing needs. The room of a deleted snapshot is back within days: until then a\n' +
        'running backup may still rely on it. Only the owner may run it, on one machine at a time.',
    )
    .addOption(new Option('--full', 'a full run now, due or not').conflicts('quick'))
    .option('--quick', 'a quick run now, due or not')
    .option('--dry-run', 'say what would be done and freed, and write nothing')
    .addOption(
      new Option('--owner <user@host>', 'make this client the owner ("me": this one), and do nothing else').conflicts([
        'full',
        'quick',
        'dryRun',
      ]),
    )
    .addHelpText(
      'after',
      examples(
        'dray repository maintain -r /backups',
        'dray repository maintain --full --dry-run',
        'dray repository maintain --owner me',
      ),
    )
    .action(async ({ full = false, quick = false, dryRun = false, owner }: Flags) => {
      const mode = full ? 'full' : quick ? 'quick' : 'auto';
      await run(context, action, { mode, dryRun, owner });
    });
}

interface Flags {
  readonly full?: boolean;
  readonly quick?: boolean;
  readonly dryRun?: boolean;
  readonly owner?: string;
}
