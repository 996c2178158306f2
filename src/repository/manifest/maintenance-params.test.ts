import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock as clock } from '../../std/clock.ts';
import { jsonObject, parseJson } from '../../std/lossless-json.ts';
import { systemRng as rng } from '../../std/rng.ts';
import {
  defaultMaintenanceParams,
  maintenanceLabels,
  maintenanceParams,
  setMaintenanceOwner,
} from './maintenance-params.ts';
import { ManifestSet } from './manifest-set.ts';

const hour = 3_600_000_000_000n;

test('maintenance parameters > without any, nobody is the owner, and the rest is as kopia has it', () => {
  const params = maintenanceParams(new ManifestSet({ clock, rng }));
  assert.equal(params.owner, undefined);
  assert.deepEqual(params.quick, { enabled: true, interval: hour });
  assert.deepEqual(params.full, { enabled: true, interval: 24n * hour });
  assert.deepEqual(params.logRetention, { sizeBytesMax: 2 ** 30, countMax: 10_000, ageMsMax: 30 * 24 * 3_600_000 });
});

test('maintenance parameters > what is missing is switched off, but logs without any limit have the usual ones', () => {
  const set = new ManifestSet({ clock, rng });
  set.put({ labels: maintenanceLabels, data: jsonObject({ owner: 'a@b', full: jsonObject({ enabled: true }) }) });
  const params = maintenanceParams(set);
  assert.deepEqual(params.full, { enabled: true, interval: 0n });
  assert.deepEqual(params.quick, { enabled: false, interval: 0n });
  assert.equal(params.logRetention.countMax, 10_000);
});

test('maintenance parameters > another owner changes nothing else, however large or unknown', () => {
  const set = new ManifestSet({ clock, rng });
  const text = '{"Owner":"a@b","full":{"enabled":true,"interval":9223372036854775807},"later":{"x":1.10}}';
  const id = set.put({ labels: maintenanceLabels, data: parseJson(text) });
  setMaintenanceOwner(set, 'c@d');
  assert.equal(maintenanceParams(set).owner, 'c@d');
  assert.equal(maintenanceParams(set).full.interval, 9223372036854775807n);
  const [entry, ...others] = set.find(maintenanceLabels);
  assert.deepEqual([entry?.id, others], [id, []]);
  assert.ok(entry?.data.endsWith('"full":{"enabled":true,"interval":9223372036854775807},"later":{"x":1.10}}'));
});

test('maintenance parameters > of several the latest stay, and where there are none, new ones are made', () => {
  const set = new ManifestSet({ clock, rng });
  setMaintenanceOwner(set, 'a@b');
  assert.equal(maintenanceParams(set).owner, 'a@b');
  set.put({ labels: maintenanceLabels, data: defaultMaintenanceParams('other@there') });
  setMaintenanceOwner(set, 'c@d');
  assert.equal(set.find(maintenanceLabels).length, 1);
  assert.equal(maintenanceParams(set).owner, 'c@d');
});

test('maintenance parameters > malformed ones are neither believed nor written again', () => {
  const set = new ManifestSet({ clock, rng });
  set.put({ labels: maintenanceLabels, data: parseJson('{"owner":"a@b","full":{"interval":"daily"}}') });
  assert.throws(() => maintenanceParams(set), { code: 'corrupt' });
  assert.throws(() => setMaintenanceOwner(set, 'c@d'), { code: 'corrupt' });
});
