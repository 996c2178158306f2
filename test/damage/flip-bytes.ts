/** Every byte of a small repository, turned over in turn: what must be noticed is, what need not be does no harm. */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { exitCodes } from '../../src/cli/shell/exit-code.ts';
import { seededRng } from '../../src/std/rng.ts';
import { regionOf, withFlips, type DamageWorld, type Flip, type PackMap } from './damage-world.ts';
import { examine } from './examine.ts';

/** `sample`: every byte of the structure in one of the packs, edges and a few others; `all`: every byte. */
export type Extent = 'sample' | 'all';

/** Larger packs are sampled also with `all`. */
const wholeBytesMax = 9 * 1024;
const rng = seededRng(20_260_101);

function flipAt(blob: string, offset: number): Flip {
  return { blob, offset, mask: 1 + Math.floor(rng.uniform() * 255) };
}

/** One byte of each pack at a time: every damaged pack is named, no other, and the right snapshots are refused. */
export async function flipPacks(world: DamageWorld, extent: Extent): Promise<number> {
  const positions = world.packs.map((pack, turn) => packPositions(pack, { extent, turn, turns: 11 }));
  const rounds = Math.max(...positions.map(({ length }) => length));
  let flipped = 0;
  for (let round = 0; round < rounds; round++) {
    const hits = world.packs.flatMap((pack, index) => {
      const offset = positions[index]![round];
      return offset === undefined ? [] : [{ pack, region: regionOf(pack, offset), flip: flipAt(pack.blob, offset) }];
    });
    const flips = hits.map(({ flip }) => flip);
    const { refused, problems, unreadable } = await withFlips(world, flips, () => examine(world));
    const where = JSON.stringify({ flips, refused, problems });
    assert.equal(refused, undefined, where);
    const lost = new Set<string>();
    for (const { pack, region } of hits) {
      const meant = region !== 'preamble' && region !== 'padding';
      const names = [pack.blob, ...pack.contents.map(({ id }) => id)];
      const named = problems.some((text) => names.some((name) => text.includes(name)));
      assert.equal(named, meant, `${region} of ${pack.blob}: ${where}`);
      if (region === 'content') lost.add(pack.snapshot);
    }
    assert.deepEqual(new Set(unreadable.keys()), lost, where);
    for (const { exitCode } of unreadable.values()) assert.equal(exitCode, exitCodes.damaged, where);
    for (const id of lost)
      assert.ok(
        problems.some((text) => text.startsWith(id)),
        `${id} is not named: ${where}`,
      );
    flipped += flips.length;
  }
  return flipped;
}

/** Bytes of a pack whose damage leaves the repository open: all but those of manifests. */
function packPositions(
  pack: PackMap,
  { extent, turn, turns }: { readonly extent: Extent; readonly turn: number; readonly turns: number },
): number[] {
  const { contents, localIndex, lengthBytes } = pack;
  const opens = (offset: number): boolean =>
    !contents.some(({ id, offset: start, lengthBytes: length }) => {
      return id.startsWith('m') && offset >= start && offset < start + length;
    });
  const all = Array.from({ length: lengthBytes }, (_, offset) => offset);
  if (extent === 'all' && lengthBytes <= wholeBytesMax) return all.filter(opens);
  const edges = contents.flatMap(({ offset, lengthBytes: length }) =>
    [0, 1, 11, 12, Math.floor(length / 2), length - 17, length - 16, length - 1].map((at) => offset + at),
  );
  const contentsEnd = Math.max(...contents.map(({ offset, lengthBytes: length }) => offset + length));
  const others = [0, 31, contentsEnd, localIndex.offset - 1];
  const structure = all.slice(localIndex.offset);
  const stride = all.filter((offset) => offset % (extent === 'all' ? 997 : 104_729) === 32);
  const mine = extent === 'all' ? structure : structure.filter((_, index) => index % turns === turn % turns);
  return [...new Set([...edges, ...others, ...mine, ...stride])].filter(opens);
}

/** One byte at a time of what nothing can be opened without: index blobs and manifests. All refused, each by its name. */
export async function flipWhatOpens(world: DamageWorld, extent: Extent): Promise<number> {
  const flips: { readonly flip: Flip; readonly name: string }[] = [];
  const indexes = [...world.files.keys()].filter((blob) => blob.startsWith('x'));
  for (const [index, blob] of indexes.entries()) {
    const { size } = await stat(world.files.get(blob)!);
    // In a sample, every other byte in one of the blobs.
    for (let offset = 0; offset < size; offset++) {
      if (extent === 'all' || offset % (2 * indexes.length) === index)
        flips.push({ flip: flipAt(blob, offset), name: blob });
    }
  }
  for (const [index, { blob, contents }] of world.packs.entries()) {
    for (const { id, offset, lengthBytes } of contents.filter((content) => content.id.startsWith('m'))) {
      for (let at = 0; at < lengthBytes; at++) {
        if (extent === 'sample' && at % (world.packs.length * 6) !== index) continue;
        flips.push({ flip: flipAt(blob, offset + at), name: id });
      }
    }
  }
  for (const { flip, name } of flips) {
    const { refused } = await withFlips(world, [flip], () => examine(world));
    assert.ok(refused?.exitCode === exitCodes.damaged, JSON.stringify({ flip, refused }));
    assert.ok(refused.message.includes(name), `${name} is not named: ${refused.message}`);
  }
  return flips.length;
}

/** The marker of a session and the schedule of maintenance: verify names them, and nothing is lost by their damage. */
export async function flipBystanders(world: DamageWorld, extent: Extent): Promise<number> {
  const blobs = [...world.files.keys()].filter((blob) => blob.startsWith('s') || blob === 'kopia.maintenance');
  let flipped = 0;
  for (const blob of blobs) {
    const { size } = await stat(world.files.get(blob)!);
    for (let offset = 0; offset < size; offset += extent === 'all' || size - offset < 4 ? 1 : 17) {
      const { problems, unreadable } = await withFlips(world, [flipAt(blob, offset)], () => examine(world));
      assert.equal(unreadable.size, 0);
      assert.equal(problems.length, 1, `${blob} at ${offset}: ${problems.join('; ')}`);
      assert.ok(problems[0]!.includes(blob), problems[0] ?? '');
      flipped++;
    }
  }
  return flipped;
}

export interface FormatFlips {
  readonly refused: number;
  readonly harmless: number;
  /** Only of `.shards`: with other rules the files lie where nobody looks, and the repository seems to hold nothing. */
  readonly empty: number;
}

/** The blobs that make a folder a repository, and its `.shards`: opened in full and equal, or refused. */
export async function flipFormat(world: DamageWorld, extent: Extent): Promise<FormatFlips> {
  const counts = { refused: 0, harmless: 0, empty: 0 };
  for (const [blob, stride] of [
    ['kopia.blobcfg', 5],
    ['kopia.repository', 31],
    ['.shards', 4],
  ] as const) {
    const { size } = await stat(world.files.get(blob)!);
    for (let offset = 0; offset < size; offset += extent === 'all' ? 1 : stride) {
      const flip = flipAt(blob, offset);
      const result = await withFlips(world, [flip], () => examine(world, { format: 'reopened', verify: false }));
      assert.equal(result.unreadable.size, 0, JSON.stringify(flip));
      const outcome = result.refused !== undefined ? 'refused' : result.empty ? 'empty' : 'harmless';
      assert.ok(outcome === 'refused' || blob !== 'kopia.blobcfg', JSON.stringify(flip));
      assert.ok(outcome !== 'empty' || blob === '.shards', JSON.stringify(flip));
      counts[outcome]++;
    }
  }
  return counts;
}
