/**
 * A real kopia and dray on one repository, with every covered setting, created by either. Each of them lists, verifies
 * and restores what the other wrote, writes beside it, and cleans up after it.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { compressorNames } from '../../src/repository/content/compression.ts';
import { describeSettings, settings, type Settings } from './settings.ts';
import { identity, image, openSite, password, writeSources, type Site } from './site.ts';

test('the settings that are tried cover every pair of values, and every compression once', () => {
  const dimensions = ['creator', 'hash', 'encryption', 'version', 'splitter', 'compression'] as const;
  const values = (dimension: (typeof dimensions)[number]): ReadonlySet<string> =>
    new Set(settings.map((row) => row[dimension]));
  const missing: string[] = [];
  for (const [index, a] of dimensions.entries()) {
    for (const b of dimensions.slice(index + 1)) {
      // What compresses a chunk sees nothing of the rest.
      if (b === 'compression') continue;
      for (const x of values(a)) {
        for (const y of values(b)) {
          if (!settings.some((row) => row[a] === x && row[b] === y)) missing.push(`${x} with ${y}`);
        }
      }
    }
  }
  assert.deepEqual(missing, []);
  assert.deepEqual(
    dimensions.map((dimension) => values(dimension).size),
    [2, 11, 2, 2, 2, compressorNames.length],
  );
});

describe('a repository of both programs', { concurrency: 2 }, () => {
  for (const [row, chosen] of settings.entries()) {
    test(`created by ${chosen.creator} with ${describeSettings(chosen)} > stays whole for both`, async (context) => {
      await using site = await openSite(context);
      if (site === undefined) return;
      await create(site, chosen);
      assert.partialDeepStrictEqual(await site.dray.status(), {
        hash: chosen.hash,
        encryption: chosen.encryption,
        splitter: chosen.splitter,
        formatVersion: Number(chosen.version),
      });
      await bothWrite(site, { seed: row, shared: chosen.splitter === 'FIXED-1M' });
    });
  }
});

test('a repository of format version 1, whose objects kopia compresses as a whole > stays whole for both', async (context) => {
  await using site = await openSite(context);
  if (site === undefined) return;
  const old = { ...settings[0]!, creator: 'kopia', compression: 's2-default' } as const;
  await create(site, old, { version: '1' });
  // Kopia believes a listing of such index blobs for half a minute.
  await site.kopia.run(['cache', 'set', '--max-list-cache-duration=0s']);
  assert.partialDeepStrictEqual(await site.dray.status(), { formatVersion: 1, indexVersion: 1 });
  await bothWrite(site, { seed: 1, shared: false });
});

describe('a repository of both programs, with error correction', { concurrency: 2 }, () => {
  const [first] = settings;
  for (const [percent, chosen] of [
    [2, { ...first!, creator: 'dray' }],
    [7, { ...first!, creator: 'kopia' }],
  ] as const) {
    test(`of ${percent} %, created by ${chosen.creator} > stays whole for both`, async (context) => {
      await using site = await openSite(context);
      if (site === undefined) return;
      await create(site, chosen, { percent });
      assert.partialDeepStrictEqual(await site.dray.status(), { eccOverheadPercent: percent });
      await bothWrite(site, { seed: percent, shared: chosen.splitter === 'FIXED-1M' });
    });
  }
});

async function create(
  { kopia, dray, repository }: Site,
  chosen: Settings,
  { percent = 0, version = chosen.version as string } = {},
): Promise<void> {
  const { hash, encryption, splitter, compression } = chosen;
  if (chosen.creator === 'dray') {
    const flags = ['--hash', hash, '--encryption', encryption, '--splitter', splitter, '--format-version', version];
    const more = ['--compression', compression, '--ecc-overhead-percent', String(percent)];
    await dray.run(['repository', 'create', repository, ...flags, ...more]);
    await kopia.connect(password, identity);
  } else {
    const flags = [`--block-hash=${hash}`, `--encryption=${encryption}`, `--object-splitter=${splitter}`];
    await kopia.create(
      password,
      [...flags, `--format-version=${version}`, `--ecc-overhead-percent=${percent}`],
      identity,
    );
    await kopia.run(['policy', 'set', '--global', `--compression=${compression}`]);
  }
}

/**
 * Kopia writes, dray reads and writes beside it, kopia reads and cleans up, and both look again.
 * @param options.shared whether kopia cuts files where volumes are cut, so that chunks are stored once for both
 */
async function bothWrite(
  { kopia, dray, folder }: Site,
  { seed, shared }: { readonly seed: number; readonly shared: boolean },
): Promise<void> {
  const first = image(2 * seed);
  const second = Buffer.from(first);
  image(2 * seed + 1).copy(second, 2 ** 20, 2 ** 20, 2 ** 21);
  const sources = await writeSources(folder, first);
  await kopia.run(['snapshot', 'create', sources.volume, sources.image, sources.files]);
  const listed = await dray.snapshotList();
  assert.deepEqual(listed.map(({ id }) => id).toSorted(), (await kopia.snapshotList()).map(({ id }) => id).toSorted());
  const idOf = (path: string): string => listed.find(({ source }) => source.endsWith(`:${path}`))!.id;
  for (const path of [sources.volume, sources.image]) {
    const target = join(folder, `${idOf(path)}.img`);
    await dray.restore(idOf(path), target);
    assert.ok(first.equals(await readFile(target)), path);
  }

  await writeSources(folder, second);
  // The source is the same as kopia's, so kopia's snapshot of this file is the parent.
  const backup = await dray.backup(sources.image);
  assert.equal(backup.parent, idOf(sources.image));
  if (shared) assert.ok(backup.newBytes < 3 * 2 ** 20, `${backup.newBytes} bytes are new`);
  await dray.verify();
  // One that is gone leaves garbage for kopia to collect.
  await dray.run(['snapshot', 'delete', idOf(sources.volume)]);

  assert.ok((await kopia.snapshotList()).some(({ id }) => id === backup.snapshot));
  await kopia.verify();
  await kopia.contentVerify();
  const byKopia = join(folder, 'by-kopia');
  await kopia.restore(backup.snapshot, byKopia);
  assert.ok(second.equals(await readFile(join(byKopia, 'disk.img'))));
  await kopia.maintenanceFull({ safety: 'none' });

  await dray.verify();
  for (const [id, bytes] of [[backup.snapshot, second] as const, [idOf(sources.image), first] as const]) {
    const target = join(folder, `${id}-again.img`);
    await dray.restore(id, target);
    assert.ok(bytes.equals(await readFile(target)));
  }
  await kopia.verify();
}
