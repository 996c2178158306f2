import type { Attached } from '../../pool/attach.ts';
import type { CliContext } from '../shell/cli-context.ts';

/** Which of the two stands in the result under that name. */
type What = { readonly volume: string } | { readonly snapshot: string };

/** A volume or snapshot that is a block device now: with `-o name` the device alone. */
export async function printAttached(context: CliContext, what: What, { device, made }: Attached): Promise<void> {
  const { path, readOnly, directIo, sectorBytes } = device;
  if (!directIo) {
    const why = sectorBytes < 4096 ? `: its sectors of ${sectorBytes} bytes are smaller than those of the pool` : '';
    context.log.warn(`what ${path} reads and writes is kept in memory twice${why}`);
  }
  const value = { ...what, device: path, readOnly, sectorBytes, directIo, made };
  await context.output.record(value, {
    names: [path],
    fields: [
      ['Device', path],
      ['Attached', `${nameOf(what)}${readOnly ? ', read-only' : ''}${made ? '' : ', as it was already'}`],
    ],
  });
}

export async function printDetached(context: CliContext, what: What, device: string | undefined): Promise<void> {
  const name = nameOf(what);
  const text = device === undefined ? `${name} was not attached` : `${name} from ${device}`;
  await context.output.record({ ...what, device }, { names: [name], fields: [['Detached', text]] });
}

function nameOf(what: What): string {
  return 'volume' in what ? what.volume : what.snapshot;
}
