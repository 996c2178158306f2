/** What is done with pools: the commands below `dray pool`. */
import type { Command } from 'commander';
import type { Action } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { type PoolCheckOptions, registerPoolCheck } from './pool-check.ts';
import { type PoolCloseOptions, registerPoolClose } from './pool-close.ts';
import { type PoolCreateOptions, registerPoolCreate } from './pool-create.ts';
import { type PoolForgetOptions, registerPoolForget } from './pool-forget.ts';
import { type PoolOpenOptions, registerPoolOpen } from './pool-open.ts';
import { type PoolStatusOptions, registerPoolStatus } from './pool-status.ts';

export interface PoolActions {
  readonly poolCreate: Action<PoolCreateOptions>;
  readonly poolOpen: Action<PoolOpenOptions>;
  readonly poolClose: Action<PoolCloseOptions>;
  readonly poolStatus: Action<PoolStatusOptions>;
  readonly poolCheck: Action<PoolCheckOptions>;
  readonly poolForget: Action<PoolForgetOptions>;
}

export function registerPoolCommands(pool: Command, context: CliContext, actions: PoolActions): void {
  registerPoolCreate(pool, context, actions.poolCreate);
  registerPoolOpen(pool, context, actions.poolOpen);
  registerPoolClose(pool, context, actions.poolClose);
  registerPoolStatus(pool, context, actions.poolStatus);
  registerPoolCheck(pool, context, actions.poolCheck);
  registerPoolForget(pool, context, actions.poolForget);
}
