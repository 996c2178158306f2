/**
 * The disk of a machine that runs: QEMU serves it while others write to it, and keeps its bitmaps. By each QEMU there is, as those of 8.2
 * and later speak extended headers and older ones do not.
 */
import assert from 'node:assert/strict';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { NbdConnection, usualLimits } from '../../src/nbd/nbd-connection.ts';
import { parseNbdUrl } from '../../src/nbd/nbd-url.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { extent } from '../../src/volume/extent.ts';
import { run } from '../kernel/loop-device.ts';
import { hasCounted } from '../support/run-and-kill.ts';
import { drayJson, runDray, startDray } from '../support/run-dray.ts';
import { mib, type Printed, type World, world } from './export-world.ts';
import { programsMissing } from './real-servers.ts';
import { storageDaemons, StorageDaemon, writeTo } from './storage-daemon.ts';

const skip = programsMissing('qemu-storage-daemon', 'qemu-img', 'qemu-io');

/** What a client reads of an export now, whoever else has it. */
function bytesOf({ url }: { readonly url: string }, { folder }: World): string {
  const now = join(folder, 'now.img');
  run('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', url, now);
  return now;
}

const rawNodes = (filename: string): readonly Readonly<Record<string, unknown>>[] => [
  { driver: 'raw', 'node-name': 'disk', file: { driver: 'file', filename } },
];
const qcow2Nodes = (filename: string): readonly Readonly<Record<string, unknown>>[] => [
  { driver: 'qcow2', 'node-name': 'disk', file: { driver: 'file', filename } },
];

const daemons = await storageDaemons();
if (daemons.every(({ extended }) => !extended)) {
  test('extended headers of QEMU', { skip: 'needs QEMU 8.2 or later: test/peers/fetch-qemu.sh' });
}

for (const { program, version, extended } of daemons) {
  describe(`QEMU ${version}`, { skip }, () => {
    test(`speaks ${extended ? 'extended' : 'structured'} replies, and all of it is understood`, async () => {
      await using at = await world();
      await using daemon = await StorageDaemon.start(program, at.folder, rawNodes(at.raw));
      await daemon.tell('block-dirty-bitmap-add', { node: 'disk', name: 'b' });
      const disk = await daemon.show('disk', { name: 'disk', bitmaps: ['b'], writable: true });
      writeTo(disk, 'write -P 7 2M 64k');
      const { signal } = new AbortController();
      const contexts = ['base:allocation', 'qemu:dirty-bitmap:b'];
      await using connection = await NbdConnection.open(parseNbdUrl(disk.url), clock, {
        contexts,
        limits: usualLimits,
        signal,
      });
      const { mode, contexts: agreed } = connection.info;
      assert.equal(mode, extended ? 'extended' : 'structured');
      assert.deepEqual([...agreed.values()], contexts);
      const whole = extent(0, 24 * mib);
      const told = await connection.blockStatus(whole, { signal });
      const of = new Map(told.map(({ context, descriptors }) => [agreed.get(context), descriptors]));
      assert.deepEqual(of.get('qemu:dirty-bitmap:b'), [
        { lengthBytes: 2 * mib, flags: 0 },
        { lengthBytes: mib / 16, flags: 1 },
        { lengthBytes: 22 * mib - mib / 16, flags: 0 },
      ]);
      assert.deepEqual(of.get('base:allocation')?.[0], { lengthBytes: mib, flags: 3 });
      const bytes = Buffer.alloc(mib);
      await connection.read(extent(mib + 512, mib), bytes, { signal });
      const image = await readFile(bytesOf(disk, at));
      assert.ok(bytes.equals(image.subarray(mib + 512, 2 * mib + 512)));
    });

    test('a disk that is written to between backups: what the bitmap names, and no more', async () => {
      await using at = await world();
      await using daemon = await StorageDaemon.start(program, at.folder, rawNodes(at.raw));
      await daemon.tell('block-dirty-bitmap-add', { node: 'disk', name: 'b' });
      const disk = await daemon.show('disk', { name: 'disk', bitmaps: ['b'], writable: true });
      const first = await at.backup(disk, '--bitmap', 'b');
      assert.equal(first.rung, 'scan');
      assert.ok(await at.isEqual(first.snapshot, bytesOf(disk, at)));
      const rounds = [
        { writes: ['write -P 7 2M 70k', 'write -P 8 21M 4k', 'discard 18M 1M', 'write -z 1M 1M'], chunks: 2, dirty: 4 },
        { writes: ['write -P 9 12M 64k', 'write -P 1 24575k 1k'], chunks: 2, dirty: 6 },
        { writes: [], chunks: 0, dirty: 6 },
      ];
      for (const { writes, chunks, dirty } of rounds) {
        if (writes.length > 0) writeTo(disk, ...writes);
        const next = await at.backup(disk, '--bitmap', 'b', '--strict');
        assert.equal(next.rung, 'nbd');
        assert.equal(next.newBytes, chunks * mib);
        assert.ok(next.readBytes <= dirty * mib, `${next.readBytes}`);
        assert.ok(await at.isEqual(next.snapshot, bytesOf(disk, at)));
      }
      // A new machine's disk is the same address, and begins without a bitmap.
      await daemon.hide('disk');
      const bare = await daemon.show('disk', { name: 'disk' });
      const told = await runDray(at.place, ['backup', bare.url, '--bitmap', 'b', '--strict']);
      assert.equal(told.exitCode, 6);
      assert.match(told.stderr, /the server shows no bitmap b/);
    });
  });
}

describe('a running machine', { skip }, () => {
  const program = 'qemu-storage-daemon';

  test('checkpoints of a running machine, as `backup-begin` of libvirt makes them, are each of one moment', async () => {
    await using at = await world();
    await using daemon = await StorageDaemon.start(program, at.folder, rawNodes(at.raw));
    const disk = await daemon.show('disk', { name: 'disk', writable: true });
    let since: string | undefined;
    for (const [round, writes] of [[], ['write -P 7 2M 70k', 'discard 18M 1M'], ['write -P 8 12M 4k']].entries()) {
      if (writes.length > 0) writeTo(disk, ...writes);
      const image = join(at.folder, `moment-${round}.img`);
      await copyFile(bytesOf(disk, at), image);
      const checkpoint = `ck-${round}`;
      const frozen = await fleece(daemon, at, { checkpoint, since });
      // What the guest writes from now on is of no concern to the frozen state, nor to the bitmap that ended with it.
      writeTo(disk, `write -P ${50 + round} 5M 64k`, 'write -P 1 1M 4k', 'write -P 60 13M 4k');
      const args = ['--source-id', checkpoint, ...(since === undefined ? [] : ['--bitmap', since, '--strict'])];
      const printed = await at.backup(frozen, ...args);
      assert.equal(printed.rung, since === undefined ? 'scan' : 'nbd');
      if (since !== undefined) assert.ok(printed.readBytes <= 8 * mib, `${printed.readBytes}`);
      assert.ok(await at.isEqual(printed.snapshot, image), checkpoint);
      await frozen.end();
      since = checkpoint;
    }
  });

  test('a bitmap that is removed and made anew under its name does not lose what was written', async () => {
    await using at = await world();
    await using daemon = await StorageDaemon.start(program, at.folder, rawNodes(at.raw));
    const bitmap = { node: 'disk', name: 'b' };
    const anew = async (): Promise<{ readonly url: string }> => {
      await daemon.hide('disk');
      await daemon.tell('block-dirty-bitmap-remove', bitmap);
      await daemon.tell('block-dirty-bitmap-add', bitmap);
      return await daemon.show('disk', { name: 'disk', bitmaps: ['b'], writable: true });
    };
    await daemon.tell('block-dirty-bitmap-add', bitmap);
    let disk = await daemon.show('disk', { name: 'disk', bitmaps: ['b'], writable: true });
    await at.backup(disk, '--bitmap', 'b');

    // A backup ended while there was none: it is known that the new one began later.
    await daemon.hide('disk');
    disk = await daemon.show('disk', { name: 'disk', writable: true });
    assert.equal((await at.backup(disk)).rung, 'scan');
    writeTo(disk, 'write -P 7 2M 64k');
    disk = await anew();
    const strict = await runDray(at.place, ['backup', disk.url, '--bitmap', 'b', '--strict']);
    assert.equal(strict.exitCode, 6);
    assert.match(strict.stderr, /the bitmap b was not there when the parent was made/);
    const told = await at.backup(disk, '--bitmap', 'b');
    assert.match(told.passedOver[0]?.reason ?? '', /the bitmap b was not there when the parent was made/);
    assert.ok(await at.isEqual(told.snapshot, bytesOf(disk, at)));

    // No backup in between: NBD cannot tell the two apart, and the audit does.
    writeTo(disk, 'write -P 8 19M 64k');
    disk = await anew();
    const caught = await at.backup(disk, '--bitmap', 'b');
    assert.equal(caught.rung, 'scan');
    assert.match(caught.reason, /nbd\) is not trusted: 1 of \d+ audited chunks/);
    assert.ok(await at.isEqual(caught.snapshot, bytesOf(disk, at)));
    const after = await at.backup(disk, '--bitmap', 'b');
    assert.match(after.passedOver[0]?.reason ?? '', /an audit caught it/);
  });

  test('killed in the middle of a backup: the reason, then on from the checkpoint, without the bitmap that is lost', async () => {
    await using at = await world();
    const image = join(at.folder, 'large.qcow2');
    run('qemu-img', 'create', '-f', 'qcow2', image, '1G');
    run('qemu-img', 'bitmap', '--add', image, 'b');
    run('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 0 640M', '-c', 'write -P 9 640M 64k', image);
    const args = (url: string): string[] => ['backup', url, '--source-id', 'frozen-1', '--bitmap', 'b'];
    {
      await using daemon = await StorageDaemon.start(program, at.folder, qcow2Nodes(image));
      const slow = await throttled(daemon, 'disk', 300 * mib);
      const disk = await daemon.show(slow, { name: 'disk', bitmaps: ['b'], writable: true });
      const running = startDray(at.place, args(disk.url));
      // A checkpoint comes at 256 MiB.
      await hasCounted(running, 'rchar', 450 * mib);
      await daemon.kill();
      const { exitCode, stderr } = await running.ended;
      assert.equal(exitCode, 1, stderr);
      assert.match(stderr, /closed the connection|connection broke/);
      assert.match(stderr, /nbd-unreachable|goes on from where it stopped/);
    }
    await using daemon = await StorageDaemon.start(program, at.folder, qcow2Nodes(image));
    // QEMU writes a bitmap out when it ends well; this one it calls inconsistent.
    await assert.rejects(daemon.show('disk', { name: 'disk', bitmaps: ['b'], writable: true }), /inconsistent/);
    const disk = await daemon.show('disk', { name: 'disk' });
    const resumed = await drayJson<Printed>(at.place, args(disk.url));
    assert.equal(resumed.resumed, true);
    assert.ok(resumed.readBytes < 500 * mib, `${resumed.readBytes}`);
    const target = join(at.folder, 'restored.img');
    await drayJson(at.place, ['restore', resumed.snapshot, target]);
    assert.match(run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', target, disk.url), /identical/);
    const without = await runDray(at.place, ['backup', disk.url, '--bitmap', 'b', '--strict']);
    assert.equal(without.exitCode, 6);
    assert.match(without.stderr, /the server shows no bitmap b/);
  });
});

interface Fleece {
  readonly url: string;
  /** Gives the frozen state up. */
  end(): Promise<void>;
}

/** The disk as it is now, while it is written to: what is written over is put aside first. From here on a new bitmap counts. */
async function fleece(
  daemon: StorageDaemon,
  { folder }: World,
  { checkpoint, since }: { readonly checkpoint: string; readonly since: string | undefined },
): Promise<Fleece> {
  const filename = join(folder, `${checkpoint}.qcow2`);
  run('qemu-img', 'create', '-f', 'qcow2', filename, String(24 * mib));
  const file = { driver: 'file', filename };
  await daemon.tell('blockdev-add', { driver: 'qcow2', 'node-name': checkpoint, file, backing: 'disk' });
  const actions = [
    { type: 'block-dirty-bitmap-add', data: { node: 'disk', name: checkpoint } },
    ...(since === undefined ? [] : [{ type: 'block-dirty-bitmap-disable', data: { node: 'disk', name: since } }]),
    { type: 'blockdev-backup', data: { 'job-id': checkpoint, device: 'disk', target: checkpoint, sync: 'none' } },
  ];
  await daemon.tell('transaction', { actions });
  const { url } = await daemon.show(checkpoint, { name: 'frozen', bitmaps: since === undefined ? [] : [since] });
  return {
    url,
    end: async () => {
      await daemon.hide('frozen');
      await daemon.cancelJob(checkpoint);
      await daemon.tell('blockdev-del', { 'node-name': checkpoint });
    },
  };
}

/** @returns the name of a node that reads so much a second and no more */
async function throttled(daemon: StorageDaemon, node: string, bytesPerSecond: number): Promise<string> {
  const limits = { 'bps-total': bytesPerSecond };
  await daemon.tell('object-add', { 'qom-type': 'throttle-group', id: 'slow', limits });
  await daemon.tell('blockdev-add', { driver: 'throttle', 'node-name': 'slow', 'throttle-group': 'slow', file: node });
  return 'slow';
}
