/** What is tortured: a volume of each kind on a pool of each kind. */
import type { SectorBytes } from '../../src/pool/pool-records.ts';

/**
 * `btrfs-forced`: mounted to compress everything, which the pool's own flag keeps from its files. `btrfs-zstd`: as well, and
 * somebody has taken that flag away.
 */
export type PoolKind = 'xfs' | 'btrfs' | 'btrfs-forced' | 'btrfs-zstd' | 'btrfs-nodatacow';
/** `raw`: writes go to the device itself. */
export type InnerKind = 'raw' | 'ext4' | 'xfs';

export interface TortureCase {
  readonly name: string;
  readonly pool: PoolKind;
  readonly inner: InnerKind;
  readonly sectorBytes: SectorBytes;
  /** Of the volume at first. */
  readonly sizeBytes: number;
}

export const mib: number = 1024 * 1024;
/** mkfs.xfs makes none below 300 MiB. */
const sizes: Readonly<Record<InnerKind, number>> = { raw: 32 * mib, ext4: 64 * mib, xfs: 304 * mib };

/** On XFS a sector of 512 bytes means buffered I/O below the device, and 4096 direct I/O. */
export const cases: readonly TortureCase[] = [
  ...both('xfs', 'raw'),
  ...both('xfs', 'ext4'),
  one('xfs', 'xfs', 4096),
  ...both('btrfs', 'raw'),
  one('btrfs', 'ext4', 4096),
  one('btrfs', 'xfs', 512),
  one('btrfs-forced', 'raw', 512),
  ...both('btrfs-zstd', 'raw'),
  one('btrfs-zstd', 'ext4', 512),
  one('btrfs-zstd', 'xfs', 4096),
  ...both('btrfs-nodatacow', 'raw'),
  one('btrfs-nodatacow', 'ext4', 4096),
  one('btrfs-nodatacow', 'xfs', 512),
];

function one(pool: PoolKind, inner: InnerKind, sectorBytes: SectorBytes): TortureCase {
  return { name: `${pool}/${inner}/${sectorBytes}`, pool, inner, sectorBytes, sizeBytes: sizes[inner] };
}

function both(pool: PoolKind, inner: InnerKind): TortureCase[] {
  return [one(pool, inner, 512), one(pool, inner, 4096)];
}
