import { resolve } from 'node:path';

import type { BackupRequest } from '../../transfer/backup-request.ts';
import { type BlockSource, VolumeError } from '../../volume/block-source.ts';
import { openSource, sourceInUse } from '../../volume/file-source.ts';
import { isNbdUrl } from '../../nbd/nbd-url.ts';
import type { BackupOptions } from '../backup.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';

export interface OpenedSource extends Pick<BackupRequest, 'offers' | 'sourceTags'> {
  /** The caller's to close. */
  readonly source: BlockSource;
  /** What its snapshots are called. */
  readonly path: string;
}

type Wanted = Pick<BackupOptions, 'source' | 'bitmap' | 'force'>;

/** What the user named, checked as far as it can be for whether it stands still. */
export async function openBackupSource(context: CliContext, options: Wanted): Promise<OpenedSource> {
  if (isNbdUrl(options.source)) return await openExport(context, options);
  if (options.bitmap !== undefined) {
    throw new CliError('usage', '--bitmap is of an NBD server: name the source as nbd://… or nbd+unix://…');
  }
  const { signal } = context;
  await using opening = new AsyncDisposableStack();
  const source = opening.use(await openSource(options.source, { signal }));
  const use = await sourceInUse(options.source, { signal });
  if (use !== undefined && !options.force) {
    throw new VolumeError('volume-busy', `${options.source} may be written to while it is read: ${use.reason}`);
  }
  if (use !== undefined) context.log.warn(`${options.source}: ${use.reason}; the snapshot is no single point in time`);
  opening.move();
  // As the user names it: behind a link such as /dev/vg0/data the device's own name changes from day to day.
  return { source, path: resolve(options.source), offers: [] };
}

async function openExport(context: CliContext, { source: url, bitmap }: Wanted): Promise<OpenedSource> {
  const { clock, rng, signal } = context;
  // Files need neither.
  const { openNbdSource } = await import('../../nbd/nbd-source.ts');
  const { bitmapOffer, bitmapTag } = await import('../../changes/nbd.ts');
  const source = await openNbdSource(url, { clock, rng }, { bitmap, signal });
  const { path } = source.location;
  if (!source.readOnly) {
    context.log.warn(`${path}: the server lets clients write to it; the snapshot is of one moment only if none does`);
  }
  const offers = bitmap === undefined ? [] : [bitmapOffer(source, bitmap)];
  return { source, path, offers, sourceTags: { bitmap: bitmapTag(source) } };
}
