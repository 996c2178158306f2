import type { Command } from 'commander';
import { type Action, examples, run } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';

export interface RepositoryPasswordOptions {
  /** Where the new password is read from; neither means DRAY_NEW_PASSWORD or a question. Give it to `context.newPassword`. */
  readonly newPassword: { readonly file: string | undefined; readonly command: string | undefined };
}

export function registerRepositoryPassword(
  parent: Command,
  context: CliContext,
  action: Action<RepositoryPasswordOptions>,
): void {
  parent
    .command('password')
    .summary("change a repository's password")
    .description(
      'Seals the key of the repository with a new password. No data is written again: who knew the old password and kept\n' +
        'a copy of the repository can still read that copy. The new password comes from DRAY_NEW_PASSWORD, from an option,\n' +
        'or from a question on the terminal; the present one from where it always comes.',
    )
    .option('--new-password-file <path>', 'read the new password from a file')
    .option('--new-password-command <command>', 'read the new password from what a command prints')
    .addHelpText('after', examples('dray repository password -r /backups --new-password-file ~/.dray-password.new'))
    .action(async (flags: { readonly newPasswordFile?: string; readonly newPasswordCommand?: string }) => {
      const newPassword = { file: flags.newPasswordFile, command: flags.newPasswordCommand };
      await run(context, action, { newPassword });
    });
}
