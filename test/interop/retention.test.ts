/** Both programs expire the same snapshots for the same reasons, whatever the policy. Each works on a copy of its own. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { decodeSnapshot, encodeSnapshot } from '../../src/repository/manifest/snapshot.ts';
import type { Snapshot } from '../../src/repository/manifest/snapshot.ts';
import { nanosecondsPerSecond, parseGoTime } from '../../src/std/go-time.ts';
import { seededRng } from '../../src/std/rng.ts';
import { KopiaClient, requireKopia } from '../peers/peers.ts';
import { DrayClient, type DrayExpired } from './dray-client.ts';
import { openReader } from './reader.ts';
import { identity, openSite, password, type Site } from './site.ts';

// Kopia counts weeks in the zone of its process; one that is far from UTC shows who does not. Go needs the zone's file.
if (existsSync('/usr/share/zoneinfo/Pacific/Auckland')) process.env['TZ'] = 'Pacific/Auckland';

const signal = AbortSignal.timeout(300_000);

/** What `--keep-KEY` is set to, in a policy of kopia's and on dray's command line. */
const policies: readonly Readonly<Record<string, number>>[] = [
  {},
  { latest: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, annual: 0 },
  { latest: 3, hourly: 12, daily: 5, weekly: 0, monthly: 2, annual: 1 },
  { latest: 1, hourly: 0, daily: 0, weekly: 8, monthly: 0, annual: 0 },
  { latest: 0, hourly: 0, daily: 400, weekly: 0, monthly: 13, annual: 9 },
];

test('snapshots expire alike, by the policy and by options', async (context) => {
  await using site = await openSite(context);
  const program = await requireKopia(context);
  if (site === undefined || program === undefined) return;
  await writeHistory(site);
  for (const [number, keep] of policies.entries()) {
    const flags = Object.entries(keep).map(([period, count]) => `--keep-${period}=${count}`);
    await context.test(flags.join(' ') || 'the policy that kopia creates', async () => {
      const forKopia = join(site.folder, `kopia-${number}`);
      const forDray = join(site.folder, `dray-${number}`);
      await cp(site.repository, forKopia, { recursive: true });
      await cp(site.repository, forDray, { recursive: true });
      await using kopia = await KopiaClient.open(program, forKopia);
      await using byPolicy = await DrayClient.open(forKopia, password, identity);
      await using byOption = await DrayClient.open(forDray, password, identity);
      await kopia.connect(password, identity);
      if (flags.length > 0) await kopia.run(['policy', 'set', '--global', ...flags]);

      // The same reasons, as kopia lists them.
      const reasons = new Map((await listed(kopia)).map(({ id, retentionReason = [] }) => [id, retentionReason]));
      const planned = (await byPolicy.json(['snapshot', 'expire', '--dry-run'])) as DrayExpired[];
      assert.deepEqual(new Map(planned.map((row) => [row.id, row.reasons])), reasons);

      const expired = (await byOption.json(['snapshot', 'expire', ...flags])) as DrayExpired[];
      await kopia.run(['snapshot', 'expire', '--all', '--delete']);
      const left = (await listed(kopia)).map(({ id }) => id).toSorted();
      assert.deepEqual((await byOption.snapshotList()).map(({ id }) => id).toSorted(), left);
      assert.deepEqual(
        expired
          .filter((row) => !row.expired)
          .map(({ id }) => id)
          .toSorted(),
        left,
      );
      assert.ok(left.length > 0 && left.length <= reasons.size);
    });
  }
});

/** Two sources: some snapshots that kopia made at given times, then many whose times lie at every kind of boundary. */
async function writeHistory(site: Site): Promise<void> {
  const { kopia, folder } = site;
  await kopia.create(password, [], identity);
  const sources = [join(folder, 'one'), join(folder, 'two')];
  for (const source of sources) {
    await mkdir(source);
    await writeFile(join(source, 'file'), source);
  }
  for (const time of ['2023-12-31 23:59:59 UTC', '2024-01-01 00:00:01 UTC', '2025-06-15 12:30:00 UTC']) {
    await kopia.run(['snapshot', 'create', ...sources, `--start-time=${time}`, `--end-time=${time}`]);
  }
  await using repository = await openReader(site, 'cache', signal);
  const set = await repository.manifests.load({ signal });
  const rng = seededRng(11);
  const newest = parseGoTime('2025-06-15T12:30:00Z')!;
  const originals = set.find({ type: 'snapshot' }).map((entry) => decodeSnapshot(entry));
  for (const source of sources) {
    const original = originals.find((snapshot) => snapshot.source.path === source)!;
    // Of two with one time, kopia takes any for the newer.
    const ages = new Set(Array.from({ length: 90 }, (_, index) => spread(rng.bytes(6), index)));
    for (const age of ages) put(snapshotAt(original, newest - age));
  }
  await using writer = await repository.writer({ userName: identity.user, host: identity.host }, { signal });
  await repository.manifests.save(set, writer);
  await writer.finish();
  const [pinned] = await listed(kopia);
  await kopia.run(['snapshot', 'pin', pinned!.id, '--add=keep me']);

  function put(snapshot: Snapshot): void {
    set.put(encodeSnapshot(snapshot));
  }
}

function snapshotAt(original: Snapshot, startTime: bigint): Snapshot {
  return { ...original, startTime, endTime: startTime + nanosecondsPerSecond };
}

/** Hours, days, weeks, months or years ago, and often a second beside a full hour. */
function spread(random: Uint8Array, index: number): bigint {
  const spans = [3600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400];
  const seconds =
    spans[index % spans.length]! * (1 + (random[0]! % 12)) + (random[1]! % 3) * 1800 + (random[2]! % 3) + 1;
  return BigInt(seconds) * nanosecondsPerSecond;
}

interface Listed {
  readonly id: string;
  readonly retentionReason?: readonly string[];
}

async function listed(kopia: KopiaClient): Promise<readonly Listed[]> {
  return (await kopia.snapshotList()) as readonly Listed[];
}
