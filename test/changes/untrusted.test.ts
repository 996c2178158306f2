/** A source of changes that loses some: how soon it is caught, and that it stays caught until somebody says otherwise. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import type { ChangeOffer, LadderParent } from '../../src/changes/ladder.ts';
import { listSnapshots } from '../../src/repository/manifest/snapshot.ts';
import { decodeVolumeTags, type VolumeTags } from '../../src/repository/tree/volume-tags.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import type { BackupRequest, BackupResult } from '../../src/transfer/backup-request.ts';
import { extent, type Extent } from '../../src/volume/extent.ts';
import {
  backupFile,
  createEngine,
  deleteSnapshots,
  restoreFile,
  withRepository,
  type Engine,
} from '../support/engine.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { changeVolume, firstDifference, writeVolume, type VolumePiece } from '../support/volume-model.ts';

const { signal } = new AbortController();
const mib = 1024 * 1024;

/** A volume whose owner tells what was written, but for some. */
class ToldVolume {
  readonly engine: Engine;
  readonly image: string;
  readonly #sizeBytes: number;
  #told: Extent[] = [];
  #seed = 1;
  /** What the offers were given. */
  readonly parents: LadderParent[] = [];

  constructor(engine: Engine, image: string, sizeBytes: number) {
    this.engine = engine;
    this.image = image;
    this.#sizeBytes = sizeBytes;
  }

  async begin(): Promise<BackupResult> {
    await writeVolume(this.image, { sizeBytes: this.#sizeBytes, pieces: [] });
    return await this.backup();
  }

  /** Writes blocks into each of these chunks, and tells of all but the chunk `untold`. */
  async write(
    chunks: readonly number[],
    { blocks = 1, untold }: { readonly blocks?: number; readonly untold?: number } = {},
  ): Promise<void> {
    const pieces: VolumePiece[] = [];
    for (const chunk of chunks) {
      for (let block = 0; block < blocks; block += 1) {
        this.#seed += 1;
        const offset = chunk * mib + block * 8192;
        pieces.push({ offset, lengthBytes: 4096, kind: 'random', seed: this.#seed });
        if (chunk !== untold) this.#told.push(extent(offset, 4096));
      }
    }
    await changeVolume(this.image, { sizeBytes: this.#sizeBytes, pieces });
  }

  async backup(options: Partial<BackupRequest> = {}): Promise<BackupResult> {
    const extents = this.#told;
    this.#told = [];
    const offer: ChangeOffer = {
      rung: 'extents',
      since: async (parent) => {
        this.parents.push(parent);
        return await Promise.resolve({ extents, reason: 'told' });
      },
    };
    return await backupFile(this.engine, this.image, { offers: [offer], ...options });
  }

  async tagsOf(id: string): Promise<VolumeTags> {
    return await withRepository(this.engine, async ({ manifests }) => {
      const { snapshots } = listSnapshots(await manifests.load({ signal }));
      return decodeVolumeTags(snapshots.find((snapshot) => snapshot.id === id)!.tags);
    });
  }
}

test('an offer that drops one extent in a thousand is caught within chunks ÷ 64 runs, and is not used again', async () => {
  await using folder = await temporaryFolder('untrusted');
  const chunks = 512;
  const lost = 333;
  const volume = new ToldVolume(await createEngine(folder.path), join(folder.path, 'image'), chunks * mib);
  await volume.begin();
  // A thousand extents but one, and the lost one in a chunk of its own, so that no neighbour heals it.
  const written = Array.from({ length: 111 }, (_, index) => index);
  await volume.write(written, { blocks: 9 });
  await volume.write([lost], { untold: lost });
  let runs = 0;
  let caught: BackupResult | undefined;
  const made: string[] = [];
  while (caught === undefined) {
    runs += 1;
    assert.ok(runs <= Math.ceil(chunks / 64), `not caught in ${runs - 1} runs`);
    const result = await volume.backup();
    if (result.changes.rung === 'scan') caught = result;
    else made.push(result.snapshot);
    if (caught === undefined) await volume.write([runs]);
  }
  assert.ok(made.length > 0, 'the first sample does not hold it, or this test would prove nothing');
  assert.deepEqual(caught.audit?.missed, [lost * mib]);
  assert.match(caught.changes.reason, /extents\) is not trusted: 1 of 64 audited chunks/);
  assert.deepEqual(caught.passedOver, [{ rung: 'extents', reason: caught.changes.reason }]);
  for (const id of made) assert.ok((await volume.tagsOf(id)).suspect !== undefined, `${id} is marked`);
  const target = join(folder.path, 'target');
  await restoreFile(volume.engine, caught.snapshot, target);
  assert.equal(await firstDifference(volume.image, target), undefined, 'the run that caught it is whole');

  const asked = volume.parents.length;
  for (let run = 0; run < 2; run += 1) {
    await volume.write([run]);
    const { snapshot, changes, passedOver } = await volume.backup();
    assert.equal(changes.rung, 'scan');
    assert.match(passedOver[0]!.reason, /--trust-changes/);
    assert.deepEqual((await volume.tagsOf(snapshot)).untrusted, ['extents']);
  }
  assert.equal(volume.parents.length, asked, 'it is not even asked');
  await volume.write([3]);
  await assert.rejects(
    volume.backup({ strict: true }),
    (error) => hasCode(error, 'degraded') && /extents: .*--trust-changes/.test(error.message),
  );

  await volume.write([3]);
  const trusting = await volume.backup({ trustChanges: true });
  assert.equal(trusting.changes.rung, 'extents');
  assert.deepEqual(trusting.passedOver, []);
  assert.equal((await volume.tagsOf(trusting.snapshot)).untrusted, undefined);
  await volume.write([4]);
  const after = await volume.backup({ strict: true });
  assert.equal(after.changes.rung, 'extents', 'from then on');
  await restoreFile(volume.engine, after.snapshot, target, { overwrite: true });
  assert.equal(await firstDifference(volume.image, target), undefined);
});

test('that a rung was caught is not forgotten with the snapshot of the run that caught it', async () => {
  await using folder = await temporaryFolder('untrusted');
  const volume = new ToldVolume(await createEngine(folder.path), join(folder.path, 'image'), 8 * mib);
  await volume.begin();
  await volume.write([0]);
  await volume.backup();
  await volume.write([1, 2], { untold: 2 });
  const caught = await volume.backup();
  assert.equal(caught.changes.rung, 'scan');
  await deleteSnapshots(volume.engine, [caught.snapshot]);
  const next = await volume.backup();
  assert.match(next.changes.reason, /the parent is suspect/);
  assert.deepEqual((await volume.tagsOf(next.snapshot)).untrusted, ['extents']);
  assert.match((await volume.backup()).changes.reason, /--trust-changes/);
});

test('a snapshot says what it is of and how it was made; the next run hands that to its offers', async () => {
  await using folder = await temporaryFolder('untrusted');
  const volume = new ToldVolume(await createEngine(folder.path), join(folder.path, 'image'), 8 * mib);
  const first = await volume.begin();
  assert.deepEqual([first.changes.rung, first.passedOver], ['scan', []], 'a first backup is not degraded');
  const sourceTags = { pool: 'p', poolVolume: 'v', poolSnapshot: 's2', bitmap: 'b', consistency: 'crash' };
  await volume.write([1, 5]);
  const second = await volume.backup({ sourceTags, strict: true });
  assert.equal(second.reportedBytes, 2 * 4096);
  const tags = await volume.tagsOf(second.snapshot);
  const { rung, reason, changedBytes, storedBytes, audit, passedOver } = tags;
  assert.deepEqual(
    { rung, reason, changedBytes, audit, passedOver },
    {
      rung: 'extents',
      reason: 'told',
      changedBytes: 2 * 4096,
      audit: '6 chunks, 0 missed',
      passedOver: undefined,
    },
  );
  assert.equal(storedBytes, second.counts.packedBytes);
  assert.ok(storedBytes! > 2 * 4096);
  const refusing: ChangeOffer = { rung: 'nbd', since: async () => await Promise.resolve({ refused: 'no bitmap' }) };
  const third = await volume.backup({ offers: [refusing] });
  assert.equal((await volume.tagsOf(third.snapshot)).passedOver, 'nbd: no bitmap');
  await volume.backup();
  const given = volume.parents.map(({ id, tags: { pool, poolVolume, poolSnapshot, bitmap, consistency } }) => ({
    id,
    sourceTags: { pool, poolVolume, poolSnapshot, bitmap, consistency },
  }));
  assert.equal(given[0]?.id, first.snapshot);
  assert.equal(volume.parents.length, 2);
  // What the caller says of one run's source is not carried over to the next.
  assert.equal(given[1]?.sourceTags.pool, undefined);
  const fourth = await volume.backup({ parent: { snapshot: second.snapshot } });
  assert.equal(fourth.parent, second.snapshot);
  assert.deepEqual(volume.parents.at(-1)?.tags.poolSnapshot, 's2');
});

test('a pool serves where the parent is in the flat layout, which it rewrites', async () => {
  await using folder = await temporaryFolder('untrusted');
  const volume = new ToldVolume(await createEngine(folder.path), join(folder.path, 'image'), 5 * mib + 4096);
  await volume.begin();
  await volume.write([0, 1, 2, 3, 4, 5]);
  await volume.backup({ layout: 'flat-1', offers: [] });
  await volume.write([2]);
  const { changes, counts, snapshot } = await volume.backup();
  assert.equal(changes.rung, 'extents');
  assert.ok(counts.readBytes <= 2 * mib, 'the chunk that changed, and the padded tail');
  const target = join(folder.path, 'target');
  await restoreFile(volume.engine, snapshot, target);
  assert.equal(await firstDifference(volume.image, target), undefined);
});

test('what a parent builds on is suspect with it, also where all was read for another snapshot meanwhile', async () => {
  await using folder = await temporaryFolder('untrusted-line');
  const lost = 201;
  const volume = new ToldVolume(await createEngine(folder.path), join(folder.path, 'image'), 256 * mib);
  await volume.begin();
  await volume.write([0, lost], { untold: lost });
  const lacking = await volume.backup();
  assert.equal(lacking.changes.rung, 'extents', 'the first sample does not hold it');
  await volume.backup({ parent: 'none' });
  let last = lacking;
  for (let run = 0; run < 256 / 64 && last.changes.rung !== 'scan'; run += 1) {
    last = await volume.backup({ parent: { snapshot: last.snapshot } });
  }
  assert.deepEqual(last.audit?.missed, [lost * mib]);
  assert.ok((await volume.tagsOf(lacking.snapshot)).suspect !== undefined);
});
