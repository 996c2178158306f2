import { totalBytes } from '../../volume/extents.ts';
import type { Extent } from '../../volume/extent.ts';
import { formatSize } from '../../std/format-size.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { formatDuration } from '../shell/sizes.ts';

export interface FoundChanges {
  readonly rung: 'extents' | 'tree';
  readonly extents: readonly Extent[];
  /** Of the newer one. */
  readonly sizeBytes: number;
  readonly durationMs: number;
}

/** Extents as rows; in JSON, beside what `compared` says, in the form of the lists that `dray backup --changes` reads. */
export async function printChanges(
  context: CliContext,
  compared: Readonly<Record<string, string | undefined>>,
  { rung, extents, sizeBytes, durationMs }: FoundChanges,
): Promise<void> {
  const rows = extents.map(({ offset, lengthBytes }) => ({ offset, length: lengthBytes }));
  const { format } = context.output;
  if (format === 'json' || format === 'yaml') {
    const value = { ...compared, rung, sizeBytes, durationMs: Math.round(durationMs), extents: rows };
    await context.output.record(value, { names: [], fields: [] });
  } else {
    await context.output.list(rows, {
      name: ({ offset, length }) => `${offset}+${length}`,
      columns: [
        { header: 'OFFSET', value: ({ offset }) => String(offset), align: 'right' },
        { header: 'LENGTH', value: ({ length }) => String(length), align: 'right' },
      ],
    });
  }
  const amount = `${formatSize(totalBytes(extents))} of ${formatSize(sizeBytes)}`;
  context.log.info(`${rung}: ${rows.length} extents, ${amount}, in ${formatDuration(durationMs)}`);
}
