/**
 * A real kopia and dray on one repository, with every covered setting, created by either. Each of them lists, verifies
 * and restores what the other wrote, writes beside it, and maintains it: kopia has written days ago by its clock, so that
 * our maintenance finds contents to mark and packs to gather; kopia's, without its safety margins, drops and removes.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { compressorNames } from '../../src/repository/content/compression.ts';
import { systemClock } from '../../src/std/clock.ts';
import { asOf } from '../peers/kopia-at.ts';
import { requirePeer } from '../peers/peers.ts';
import { blobFiles } from '../fixtures/open-fixture.ts';
import { describeSettings, settings, type Settings } from './settings.ts';
import { identity, image, openSite, password, writeSources, type Site } from './site.ts';

const hourMs = 3_600_000;
/** Old enough for everything that maintenance does. */
const daysAgoMs = 40 * hourMs;

/** Without epochs kopia would believe a listing of index blobs for half a minute. */
const freshLists = '--max-list-cache-duration=0s';
/** Kopia maintains when it is told to. */
const untold = '--no-auto-maintenance';

const pairs = {
  creator: ({ creator }: Settings): string => creator,
  hash: ({ hash }: Settings): string => hash,
  encryption: ({ encryption }: Settings): string => encryption,
  version: ({ version }: Settings): string => version,
  splitter: ({ splitter }: Settings): string => splitter.split('-')[0]!,
  correction: ({ eccOverheadPercent }: Settings): string => (eccOverheadPercent > 0 ? 'corrected' : 'not corrected'),
  keyDerivation: ({ keyDerivation }: Settings): string => keyDerivation,
};

/** Pairs that no row of these settings has. */
function missingPairs(rows: readonly Settings[]): string[] {
  const values = (of: (row: Settings) => string): ReadonlySet<string> => new Set(rows.map(of));
  const dimensions = Object.values(pairs);
  const missing: string[] = [];
  for (const [index, a] of dimensions.entries()) {
    for (const b of dimensions.slice(index + 1)) {
      for (const x of values(a)) {
        for (const y of values(b))
          if (!rows.some((row) => a(row) === x && b(row) === y)) missing.push(`${x} with ${y}`);
      }
    }
  }
  return missing;
}

test('the settings that are tried cover every pair of values, and every compression once', () => {
  const count = (of: (row: Settings) => unknown): number => new Set(settings.map(of)).size;
  assert.deepEqual(Object.values(pairs).map(count), [2, 11, 2, 3, 2, 2, 2]);
  assert.deepEqual(
    [count(({ compression }) => compression), count(({ splitter }) => splitter)],
    [compressorNames.length, 4],
  );
  const isOld = ({ version }: Settings): boolean => version === '1';
  assert.deepEqual(missingPairs(settings.filter((row) => !isOld(row))), []);
  // Without the hash: there are more hashes than rows of this version.
  assert.deepEqual(missingPairs(settings.filter(isOld).map((row) => ({ ...row, hash: 'any' }))), []);
  assert.deepEqual([...new Set(settings.filter(isOld).map(({ indexVersion }) => indexVersion))], [1, 2]);
});

describe('a repository of both programs', { concurrency: availableParallelism() }, () => {
  for (const [row, chosen] of settings.entries()) {
    test(`created by ${chosen.creator} with ${describeSettings(chosen)} > stays whole for both`, async (context) => {
      const clocked = await requirePeer(context, 'kopia-clock');
      if (clocked === undefined) return;
      await using site = await openSite(context);
      if (site === undefined) return;
      await create(site, chosen);
      const { hash, encryption, splitter, version, indexVersion, eccOverheadPercent } = chosen;
      assert.partialDeepStrictEqual(await site.dray.status(), {
        hash,
        encryption,
        splitter,
        indexVersion,
        eccOverheadPercent,
        formatVersion: Number(version),
      });
      await bothWriteAndMaintain(site, { clocked, seed: row, chosen });
    });
  }
});

test('error correction with index version 1 is made by no kopia', async (context) => {
  await using site = await openSite(context);
  if (site === undefined) return;
  const { kopia, dray } = site;
  await kopia.create(password, ['--format-version=1', '--ecc-overhead-percent=5'], identity);
  assert.partialDeepStrictEqual(await dray.status(), { formatVersion: 1, indexVersion: 1, eccOverheadPercent: 0 });
  await using other = await openSite(context);
  assert.ok(other !== undefined);
  await other.kopia.create(password, ['--format-version=2', '--ecc-overhead-percent=5'], identity);
  assert.partialDeepStrictEqual(await other.dray.status(), { indexVersion: 2, eccOverheadPercent: 5 });
  const lower = other.kopia.run(['repository', 'set-parameters', '--index-version=1']);
  await assert.rejects(lower, /index format version can only be upgraded/);
});

async function create({ kopia, dray, repository }: Site, chosen: Settings): Promise<void> {
  const { hash, encryption, splitter, version, indexVersion, eccOverheadPercent, keyDerivation, compression } = chosen;
  const ecc = `--ecc-overhead-percent=${eccOverheadPercent}`;
  if (chosen.creator === 'dray') {
    const flags = ['--hash', hash, '--encryption', encryption, '--splitter', splitter, '--format-version', version];
    const more = ['--compression', compression, '--key-derivation', keyDerivation];
    await dray.run(['repository', 'create', repository, ...flags, ...more, ecc]);
    await kopia.connect(password, identity);
    return;
  }
  const flags = [`--block-hash=${hash}`, `--encryption=${encryption}`, `--object-splitter=${splitter}`];
  const more = [`--format-version=${version}`, `--format-block-key-derivation-algorithm=${keyDerivation}`];
  await kopia.create(password, [...flags, ...more, ecc, freshLists, untold], identity);
  await kopia.run(['policy', 'set', untold, '--global', `--compression=${compression}`]);
  if (version === '1' && indexVersion === 2)
    await kopia.run(['repository', 'set-parameters', untold, '--index-version=2']);
}

interface Turn {
  /** The path of `kopia-clock`. */
  readonly clocked: string;
  readonly seed: number;
  readonly chosen: Settings;
}

/** Kopia writes, dray reads, writes beside it and maintains, kopia reads and maintains, and dray looks again. */
async function bothWriteAndMaintain(site: Site, { clocked, seed, chosen }: Turn): Promise<void> {
  const { kopia, dray, folder, repository } = site;
  const first = image(2 * seed);
  const second = Buffer.from(first);
  image(2 * seed + 1).copy(second, 2 ** 20, 2 ** 20, 2 ** 21);
  const sources = await writeSources(folder, first);
  const atMs = systemClock.nowMs() - daysAgoMs;
  await asOf({ program: clocked, repository, password, identity, atMs }, async (client) => {
    await client.run(['snapshot', 'create', untold, sources.volume, sources.image, sources.files]);
  });
  const listed = await dray.snapshotList();
  assert.equal(listed.length, 3);
  const idOf = (path: string): string => listed.find(({ source }) => source.endsWith(`:${path}`))!.id;
  await restores(site, idOf(sources.volume), first);

  await writeSources(folder, second);
  // The source is the same as kopia's, so kopia's snapshot of this file is the parent.
  const backup = await dray.backup(sources.image);
  assert.equal(backup.parent, idOf(sources.image));
  // Kopia cuts files where volumes are cut, so chunks are stored once for both.
  if (chosen.splitter === 'FIXED-1M' && chosen.version !== '1')
    assert.ok(backup.newBytes < 3 * 2 ** 20, `${backup.newBytes} bytes are new`);
  await dray.run(['snapshot', 'delete', idOf(sources.files)]);

  const { tasks, marked } = await maintain(site, '--full');
  assert.ok(marked.count > 0, 'what only the deleted snapshot used');
  assert.match(tasks.find(({ task }) => task === 'full-rewrite-contents')?.summary ?? '', /^[1-9][0-9]* contents/);
  if (chosen.version === '1') await mergeIndex(site, backup.snapshot);
  const ids = (await kopia.snapshotList()).map(({ id }) => id);
  assert.deepEqual(new Set(ids), new Set([backup.snapshot, idOf(sources.volume), idOf(sources.image)]));
  await kopia.verify();
  await kopia.contentVerify();
  const byKopia = join(folder, 'by-kopia');
  await kopia.restore(backup.snapshot, byKopia);
  assert.ok(second.equals(await readFile(join(byKopia, 'disk.img'))));

  const before = (await blobFiles(repository)).size;
  await kopia.maintenanceFull({ safety: 'none' });
  assert.ok((await blobFiles(repository)).size < before, 'what we have emptied is gone');
  await dray.verify();
  await restores(site, backup.snapshot, second);
}

async function restores({ dray, folder }: Site, id: string, bytes: Uint8Array): Promise<void> {
  const target = join(folder, `${id}.img`);
  await dray.restore(id, target);
  assert.ok((await readFile(target)).equals(bytes), id);
}

interface Maintained {
  readonly tasks: readonly { readonly task: string; readonly summary: string }[];
  readonly marked: { readonly count: number };
}

async function maintain({ dray }: Site, mode: '--full' | '--quick'): Promise<Maintained> {
  return (await dray.json(['repository', 'maintain', mode])) as Maintained;
}

/** Without epochs: a quick run merges index blobs when there are eight. */
async function mergeIndex(site: Site, snapshot: string): Promise<void> {
  const count = async (prefix: string): Promise<number> => {
    return [...(await blobFiles(site.repository)).keys()].filter((name) => name.startsWith(prefix)).length;
  };
  for (let pin = 0; (await count('n')) < 8; pin++) await site.dray.run(['snapshot', 'pin', snapshot, `pin-${pin}`]);
  assert.equal(await count('m'), 0);
  const { tasks } = await maintain(site, '--quick');
  assert.match(tasks.find(({ task }) => task === 'index-compaction')?.summary ?? '', /index blobs become one/);
  assert.equal(await count('m'), 1);
}
