/** What is done with repositories: the commands below `dray repository`. */
import type { Command } from 'commander';
import type { Action } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { registerRepositoryCreate, type RepositoryCreateOptions } from './repository-create.ts';
import { registerRepositoryMaintain, type RepositoryMaintainOptions } from './repository-maintain.ts';
import { registerRepositoryPassword, type RepositoryPasswordOptions } from './repository-password.ts';
import { registerRepositoryStatus, type RepositoryStatusOptions } from './repository-status.ts';
import { registerRepositoryVerify, type RepositoryVerifyOptions } from './repository-verify.ts';

export interface RepositoryActions {
  readonly repositoryCreate: Action<RepositoryCreateOptions>;
  readonly repositoryStatus: Action<RepositoryStatusOptions>;
  readonly repositoryVerify: Action<RepositoryVerifyOptions>;
  readonly repositoryMaintain: Action<RepositoryMaintainOptions>;
  readonly repositoryPassword: Action<RepositoryPasswordOptions>;
}

export function registerRepositoryCommands(repository: Command, context: CliContext, actions: RepositoryActions): void {
  registerRepositoryCreate(repository, context, actions.repositoryCreate);
  registerRepositoryStatus(repository, context, actions.repositoryStatus);
  registerRepositoryVerify(repository, context, actions.repositoryVerify);
  registerRepositoryMaintain(repository, context, actions.repositoryMaintain);
  registerRepositoryPassword(repository, context, actions.repositoryPassword);
}
