/**
 * Which settings are tried with a real kopia. All pairs of values of two settings are covered, compression apart,
 * of which each is tried once: each hash goes through both directions, with the other value of each two-valued setting the second time.
 * Index version 1 together with epochs is a combination that kopia's command line refuses to make; a fixture has it.
 */
import { hashNames } from '../../src/repository/format/hashing.ts';
import { compressorNames } from '../../src/repository/content/compression.ts';

const encryptions = ['AES256-GCM-HMAC-SHA256', 'CHACHA20-POLY1305-HMAC-SHA256'] as const;
const versions = ['2', '3'] as const;
const splitters = ['FIXED-1M', 'DYNAMIC-4M-BUZHASH'] as const;

export interface Settings {
  readonly creator: 'kopia' | 'dray';
  readonly hash: string;
  readonly encryption: string;
  readonly version: '2' | '3';
  readonly splitter: string;
  readonly compression: string;
}

/** What row `row` picks of two: three such choices with different periods meet in all combinations within eight rows. */
const pick = (row: number, period: number, direction: number): 0 | 1 =>
  (Math.floor(row / period) + direction) % 2 === 0 ? 0 : 1;

export const settings: readonly Settings[] = (['kopia', 'dray'] as const).flatMap((creator, direction) =>
  hashNames.map((hash, row) => ({
    creator,
    hash,
    encryption: encryptions[pick(row, 1, direction)],
    version: versions[pick(row, 2, direction)],
    splitter: splitters[pick(row, 4, direction)],
    compression: compressorNames[(row + direction * hashNames.length) % compressorNames.length]!,
  })),
);

export function describeSettings({ hash, encryption, version, splitter, compression }: Settings): string {
  return [hash, encryption.split('-')[0], `format ${version}`, splitter, compression].join(', ');
}
