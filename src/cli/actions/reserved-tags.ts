import { isReservedTag } from '../../repository/tree/volume-tags.ts';
import type { BackupOptions } from '../backup.ts';
import { CliError } from '../shell/cli-error.ts';

/** @throws {CliError} `usage` */
export function refuseReservedTags({ tags }: Pick<BackupOptions, 'tags'>): void {
  const reserved = Object.keys(tags).find(isReservedTag);
  if (reserved === undefined) return;
  throw new CliError('usage', `tags that begin with "dray:" are the program's own: ${reserved}`);
}
