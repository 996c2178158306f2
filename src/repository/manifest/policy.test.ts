import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { hasCode } from '../../std/dray-error.ts';
import { parseJson } from '../../std/lossless-json.ts';
import { stringifyJson } from '../../std/write-json.ts';
import { seededRng } from '../../std/rng.ts';
import { defaultMaintenanceParams, maintenanceLabels, maintenanceOwner } from './maintenance-params.ts';
import { ManifestSet } from './manifest-set.ts';
import { compressorFor, defaultGlobalPolicy, effectivePolicy, policyLabels } from './policy.ts';
import type { PolicyTarget } from './policy.ts';

/** What `kopia repository create` (0.23.1) writes. */
const kopiaGlobal =
  '{"retention":{"keepLatest":10,"keepHourly":48,"keepDaily":7,"keepWeekly":4,"keepMonthly":24,"keepAnnual":3,"ignoreIdenticalSnapshots":false},' +
  '"files":{"ignoreDotFiles":[".kopiaignore"]},"errorHandling":{"ignoreFileErrors":false,"ignoreDirectoryErrors":false,"ignoreUnknownTypes":true},' +
  '"scheduling":{"runMissed":true},"compression":{"compressorName":"none"},"metadataCompression":{"compressorName":"zstd-fastest"},"splitter":{},"actions":{},' +
  '"osSnapshots":{"volumeShadowCopy":{"enable":0}},"logging":{"directories":{"snapshotted":5,"ignored":5},"entries":{"snapshotted":0,"ignored":5,"cacheHit":0,"cacheMiss":0}},' +
  '"upload":{"maxParallelSnapshots":1,"parallelUploadAboveSize":2147483648}}';
const kopiaMaintenance =
  '{"owner":"tester@fixture","quick":{"enabled":true,"interval":3600000000000},"full":{"enabled":true,"interval":86400000000000},' +
  '"logRetention":{"maxTotalSize":1073741824,"maxCount":10000,"maxAge":2592000000000000},"extendObjectLocks":false,"listParallelism":0}';

let now = 0;
const parts = { clock: { nowMs: () => (now += 1), monotonicMs: () => 0, sleep: async () => {} }, rng: seededRng(3) };
const source = { userName: 'u', host: 'h', path: '/a/b/c' };

function setOf(...policies: readonly (readonly [target: PolicyTarget, json: string])[]): ManifestSet {
  const set = new ManifestSet(parts);
  for (const [target, json] of policies) set.put({ labels: policyLabels(target), data: parseJson(json) });
  return set;
}

const keepLatest = (set: ManifestSet, path = source.path): number | undefined =>
  effectivePolicy(set, { ...source, path }).retention.keepLatest;

describe('policy', () => {
  test('of a new repository is what kopia writes', () => {
    assert.equal(stringifyJson(defaultGlobalPolicy({ compressorName: 'none' })), kopiaGlobal);
  });

  test('takes the first that says something: path, its parents, user, host, global, defaults', () => {
    const chain: [PolicyTarget, string][] = [
      [{}, '{"retention":{"keepLatest":1}}'],
      [{ host: 'h' }, '{"retention":{"keepLatest":2}}'],
      [{ host: 'h', userName: 'u' }, '{"retention":{"keepLatest":3}}'],
      [{ host: 'h', userName: 'u', path: '/' }, '{"retention":{"keepLatest":4}}'],
      [{ host: 'h', userName: 'u', path: '/a/b' }, '{"retention":{"keepLatest":5}}'],
      [{ host: 'h', userName: 'u', path: '/a/b/c' }, '{"retention":{"keepLatest":6}}'],
    ];
    assert.equal(keepLatest(setOf()), 10);
    for (const [index] of chain.entries()) assert.equal(keepLatest(setOf(...chain.slice(0, index + 1))), index + 1);
    const others = setOf(
      [{ host: 'x' }, '{"retention":{"keepLatest":7}}'],
      [{ host: 'h', userName: 'u', path: '/a/bb' }, '{"retention":{"keepLatest":8}}'],
    );
    assert.equal(keepLatest(others), 10);
    assert.equal(
      keepLatest(setOf([{ host: 'h', userName: 'u', path: 'C:\\x' }, '{"retention":{"keepLatest":9}}']), 'C:\\x\\y'),
      9,
    );
    assert.equal(keepLatest(setOf(), 'relative'), 10);
  });

  test('merges field by field and ends where a policy wants no parent', () => {
    const set = setOf(
      [{}, kopiaGlobal],
      [{ host: 'h' }, '{"retention":{"keepDaily":0,"keepHourly":null},"noParent":false}'],
    );
    const { retention, compression } = effectivePolicy(set, source);
    assert.deepEqual(retention, {
      keepLatest: 10,
      keepHourly: 48,
      keepDaily: 0,
      keepWeekly: 4,
      keepMonthly: 24,
      keepAnnual: 3,
    });
    assert.equal(compression.compressorName, 'none');
    const alone = setOf([{}, kopiaGlobal], [{ host: 'h' }, '{"retention":{"keepDaily":1},"noParent":true}']);
    assert.equal(effectivePolicy(alone, source).retention.keepLatest, undefined);
    assert.equal(effectivePolicy(alone, source).retention.keepDaily, 1);
    assert.equal(effectivePolicy(alone, source).compression.compressorName, undefined);
  });

  test('takes numbers as large as 64 bits for all, and nonsense for corrupt', () => {
    assert.equal(keepLatest(setOf([{}, '{"retention":{"keepLatest":9223372036854775807}}'])), Number.MAX_SAFE_INTEGER);
    for (const text of ['[]', '{"retention":{"keepLatest":"1"}}', '{"compression":{"compressorName":1}}']) {
      assert.throws(
        () => keepLatest(setOf([{}, text])),
        (error) => hasCode(error, 'corrupt'),
        text,
      );
    }
  });

  test('chooses the compressor as kopia does', () => {
    const rules =
      '{"compression":{"compressorName":"zstd","onlyCompress":[".raw"],"neverCompress":[".zip",".raw"],"minSize":10,"maxSize":100}}';
    const { compression } = effectivePolicy(setOf([{}, rules]), source);
    const choose = (name: string, sizeBytes: number): string | undefined =>
      compressorFor(compression, { name, sizeBytes });
    assert.equal(choose('a.img', 50), 'zstd');
    assert.equal(choose('a.raw', 50), 'zstd');
    assert.equal(choose('a.zip', 50), 'none');
    assert.equal(choose('a.img', 9), 'none');
    assert.equal(choose('a.img', 101), 'none');
    assert.equal(compressorFor(effectivePolicy(setOf(), source).compression, { name: 'a', sizeBytes: 1 }), undefined);
  });
});

describe('maintenance parameters', () => {
  test('of a new repository are what kopia writes, and name the owner', () => {
    assert.equal(stringifyJson(defaultMaintenanceParams('tester@fixture')), kopiaMaintenance);
    const set = new ManifestSet(parts);
    assert.equal(maintenanceOwner(set), undefined);
    set.put({ labels: maintenanceLabels, data: parseJson(kopiaMaintenance) });
    assert.equal(maintenanceOwner(set), 'tester@fixture');
  });
});
