/**
 * Which settings are tried with a real kopia. Of format versions 2 and 3, each hash goes through both directions, with the
 * other value of each two-valued setting the second time: all pairs of values of two settings are covered, compression
 * apart, of which each is tried once, and the kinds of splitters, which take turns. Format version 1, which only kopia
 * makes and which knows no error correction, is tried apart, with pairs of what it has; index version 2 came to it later.
 * Index version 1 together with epochs is a combination that kopia's command line refuses to make; a fixture has it. Index
 * version 1 together with error correction is made by nobody: a test says so.
 */
import { hashNames } from '../../src/repository/format/hashing.ts';
import { compressorNames } from '../../src/repository/content/compression.ts';

const encryptions = ['AES256-GCM-HMAC-SHA256', 'CHACHA20-POLY1305-HMAC-SHA256'] as const;
const versions = ['2', '3'] as const;
const keyDerivations = ['scrypt-65536-8-1', 'pbkdf2-sha256-600000'] as const;
/** Cut where volumes are cut, or elsewhere. */
const splitters = [['FIXED-1M'], ['DYNAMIC-4M-BUZHASH', 'DYNAMIC-1M-RABINKARP', 'DYNAMIC-128K-BUZHASH']] as const;
/** Percent; 0 is none. */
const corrections = [[0], [2, 7]] as const;

export interface Settings {
  readonly creator: 'kopia' | 'dray';
  readonly hash: string;
  readonly encryption: string;
  readonly version: '1' | '2' | '3';
  readonly indexVersion: 1 | 2;
  readonly splitter: string;
  readonly eccOverheadPercent: number;
  readonly keyDerivation: string;
  readonly compression: string;
}

/** What row `row` picks of two: three such choices with different periods meet in all combinations within eight rows. */
const pick = (row: number, period: number, direction: number): 0 | 1 =>
  (Math.floor(row / period) + direction) % 2 === 0 ? 0 : 1;

/** One of the same kind, by turns. */
const turn = <Value>(values: readonly Value[], row: number): Value => values[row % values.length]!;

const withEpochs: readonly Settings[] = (['kopia', 'dray'] as const).flatMap((creator, direction) =>
  hashNames.map((hash, row): Settings => ({
    creator,
    hash,
    encryption: encryptions[pick(row, 1, direction)],
    version: versions[pick(row, 2, direction)],
    indexVersion: 2,
    splitter: turn<string>(splitters[pick(row, 4, direction)], row),
    eccOverheadPercent: turn<number>(corrections[pick(row, 3, direction)], row),
    keyDerivation: keyDerivations[pick(row, 5, direction)],
    compression: compressorNames[(row + direction * hashNames.length) % compressorNames.length]!,
  })),
);

const withoutEpochs: readonly Settings[] = [0, 1, 2, 3].map((row): Settings => {
  const [first, second] = [pick(row, 1, 0), pick(row, 2, 0)];
  const both = first === second ? 0 : 1;
  return {
    creator: 'kopia',
    hash: hashNames[row * 3]!,
    encryption: encryptions[first],
    version: '1',
    indexVersion: both === 0 ? 1 : 2,
    splitter: turn<string>(splitters[second], row),
    eccOverheadPercent: 0,
    keyDerivation: keyDerivations[both],
    compression: (['s2-default', 'zstd-fastest', 'gzip', 'none'] as const)[row]!,
  };
});

export const settings: readonly Settings[] = [...withEpochs, ...withoutEpochs];

export function describeSettings(chosen: Settings): string {
  const { hash, encryption, version, indexVersion, splitter, eccOverheadPercent, keyDerivation, compression } = chosen;
  const index = version === '1' ? `, index ${indexVersion}` : '';
  const ecc = eccOverheadPercent === 0 ? [] : [`error correction of ${eccOverheadPercent} %`];
  const [derivation, cipher] = [keyDerivation, encryption].map((name) => name.split('-')[0]!);
  return [hash, cipher, `format ${version}${index}`, splitter, derivation, compression, ...ecc].join(', ');
}
