/** The pool that a command is about, and what all commands of pools say in the same way. */
import type { Finding } from '../../pool/find-faults.ts';
import { Pool, type PoolParts, type PoolSnapshot } from '../../pool/pool.ts';
import { droppedText } from '../../pool/room.ts';
import type { CliContext } from '../shell/cli-context.ts';

/** @throws {CliError} as `CliContext.poolPath`; {PoolError} as `Pool.open` */
export function openPool(context: CliContext, directory?: string): Pool {
  return Pool.open(context.poolPath(directory), poolParts(context));
}

export function poolParts({ clock, rng }: CliContext): PoolParts {
  return { clock, rng };
}

/** Damage hides nothing else: what a listing had to leave out is told beside it. */
export function warnOfDamage({ log }: CliContext, findings: readonly Finding[]): void {
  for (const { message, remedy } of findings) {
    if (remedy !== 'none') log.warn(`${message}; "dray pool check" tells more`);
  }
}

/** What whatever takes room is given: a base of backups that goes for it is told. */
export function dropping({ log, signal }: CliContext): {
  readonly onDropped: (snapshot: PoolSnapshot) => void;
  readonly signal: AbortSignal;
} {
  return {
    onDropped: (snapshot) => log.warn(droppedText(snapshot)),
    signal,
  };
}
