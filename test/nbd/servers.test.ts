/** Backups of exports of real servers, by the real program, restored and compared byte for byte. */
import assert from 'node:assert/strict';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { run } from '../kernel/loop-device.ts';
import { hasCounted } from '../support/run-and-kill.ts';
import { drayJson, runDray, startDray } from '../support/run-dray.ts';
import { mib, type Printed, qcow2, type World, world } from './export-world.ts';
import { programsMissing, type RealServer, startNbdkit, startQemuNbd } from './real-servers.ts';

const skipQemu = programsMissing('qemu-nbd', 'qemu-img', 'qemu-io');
const skipNbdkit = programsMissing('nbdkit');

describe('an export is stored whole and comes back byte for byte', () => {
  const cases: Readonly<
    Record<string, { readonly skip: string | false; readonly start: (at: World) => Promise<RealServer> }>
  > = {
    'qemu-nbd, which takes one client': {
      skip: skipQemu,
      start: async ({ raw, socket }) => await startQemuNbd(['-r', '-f', 'raw', raw], { socket }),
    },
    'qemu-nbd, which takes three clients': {
      skip: skipQemu,
      start: async ({ raw }) => await startQemuNbd(['-r', '-e', '3', '-f', 'raw', raw]),
    },
    'qemu-nbd, many clients': {
      skip: skipQemu,
      start: async ({ raw, socket }) => await startQemuNbd(['-r', '-e', '20', '-f', 'raw', raw], { socket }),
    },
    'nbdkit without structured replies': {
      skip: skipNbdkit,
      start: async ({ raw, socket }) => await startNbdkit(['--no-sr', '-r', 'file', raw], { socket }),
    },
    'nbdkit with extents': { skip: skipNbdkit, start: async ({ raw }) => await startNbdkit(['-r', 'file', raw]) },
    'nbdkit, not even fixed newstyle': {
      skip: skipNbdkit,
      start: async ({ raw }) => await startNbdkit(['--mask-handshake=0', '-r', 'file', raw]),
    },
    'nbdkit with blocks of 64 KiB': {
      skip: skipNbdkit,
      start: async ({ raw }) =>
        await startNbdkit([
          '-r',
          '--filter=blocksize-policy',
          'file',
          raw,
          'blocksize-minimum=64K',
          'blocksize-preferred=64K',
          'blocksize-maximum=512K',
          'blocksize-error-policy=error',
        ]),
    },
  };
  for (const [name, { skip, start }] of Object.entries(cases)) {
    test(name, { skip }, async () => {
      await using at = await world();
      await using server = await start(at);
      const first = await at.backup(server);
      assert.equal(first.rung, 'scan');
      assert.ok(await at.isEqual(first.snapshot, at.raw));
      const again = await at.backup(server);
      assert.equal(again.parent, first.snapshot);
      assert.equal(again.newBytes, 0);
    });
  }

  test(
    'with TLS, and not when the certificate is of nobody known',
    { skip: skipNbdkit || programsMissing('openssl') },
    async () => {
      await using at = await world();
      const folder = join(at.folder, 'certificates');
      await mkdir(folder);
      const key = (name: string): string => join(folder, `${name}-key.pem`);
      const pem = (name: string): string => join(folder, `${name}-cert.pem`);
      const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'];
      run('openssl', ...request, '-keyout', key('ca'), '-out', pem('ca'), '-subj', '/CN=ca');
      for (const [name, alternative] of [
        ['server', 'DNS:vmhost,IP:127.0.0.1'],
        ['client', 'DNS:client'],
      ] as const) {
        const signed = [
          '-CA',
          pem('ca'),
          '-CAkey',
          key('ca'),
          '-addext',
          `subjectAltName=${alternative}`,
          '-addext',
          'basicConstraints=critical,CA:false',
        ];
        run('openssl', ...request, '-keyout', key(name), '-out', pem(name), '-subj', `/CN=${name}`, ...signed);
      }
      const tls = ['--tls=require', `--tls-certificates=${folder}`, '--tls-verify-peer', '-r', 'file', at.raw];
      await using server = await startNbdkit(tls, { scheme: 'nbds', parameters: `tls-certificates=${folder}` });
      const { snapshot } = await at.backup(server);
      assert.ok(await at.isEqual(snapshot, at.raw));
      const { url } = server;
      const half = join(at.folder, 'half');
      await mkdir(half);
      for (const name of ['ca', 'client']) await copyFile(pem(name), join(half, `${name}-cert.pem`));
      for (const [wrong, said] of [
        [url.replace('nbds:', 'nbd:').replace(/\?.*/, ''), /the server wants TLS/],
        [url.replace(/\?.*/, ''), /no TLS with 127\.0\.0\.1/],
        [`${url}&tls-hostname=other`, /no TLS with other/],
        [url.replace('certificates?', 'x').replace(folder, at.folder), /read the certificates/],
        [url.replace(folder, half), /of client-cert\.pem and client-key\.pem only the certificate is there/],
      ] as const) {
        const { exitCode, stderr } = await runDray(at.place, ['backup', wrong]);
        assert.equal(exitCode, 1);
        assert.match(stderr, said);
      }
      // By a socket, where the name comes from nowhere else.
      await using local = await startNbdkit(tls, {
        socket: at.socket,
        scheme: 'nbds',
        parameters: `tls-certificates=${folder}&tls-hostname=vmhost`,
      });
      assert.equal((await at.backup(local)).newBytes, 0);
    },
  );
});

describe('a dirty bitmap of QEMU', { skip: skipQemu }, () => {
  test('names what was written, and nothing else is read or stored', async () => {
    await using at = await world();
    const { image, bytes } = await qcow2(at);
    run('qemu-img', 'bitmap', '--add', image, 'b0');
    const serve = async (): Promise<RealServer> =>
      await startQemuNbd(['-r', '-B', 'b0', '-f', 'qcow2', image], { socket: at.socket });
    {
      await using server = await serve();
      const first = await at.backup(server, '--bitmap', 'b0', '--strict');
      assert.equal(first.rung, 'scan');
      assert.ok(await at.isEqual(first.snapshot, at.raw));
    }
    for (const [writes, chunks] of [
      [['write -P 7 2M 70k', 'write -P 8 21M 4k', 'discard 18M 1M', 'write -z 1M 1M'], 2],
      [['write -P 9 12M 64k', 'write -P 1 24575k 1k'], 2],
    ] as const) {
      run('qemu-io', '-f', 'qcow2', ...writes.flatMap((write) => ['-c', write]), image);
      await using server = await serve();
      const next = await at.backup(server, '--bitmap', 'b0', '--strict');
      assert.equal(next.rung, 'nbd');
      assert.match(next.reason, /bitmap b0/);
      assert.equal(next.newBytes, chunks * mib);
      assert.ok(next.readBytes <= 6 * mib, `${next.readBytes}`);
      assert.ok(await at.isEqual(next.snapshot, bytes()));
    }
  });

  test('that began after the parent is not used, and the user learns why', async () => {
    await using at = await world();
    const { image, bytes } = await qcow2(at);
    {
      await using server = await startQemuNbd(['-r', '-f', 'qcow2', image], { socket: at.socket });
      await at.backup(server);
    }
    // What the bitmap has not seen.
    run('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 2M 64k', image);
    run('qemu-img', 'bitmap', '--add', image, 'late');
    run('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 18M 64k', image);
    await using server = await startQemuNbd(['-r', '-B', 'late', '-f', 'qcow2', image], { socket: at.socket });
    const strict = await runDray(at.place, ['backup', server.url, '--bitmap', 'late', '--strict']);
    assert.equal(strict.exitCode, 6);
    assert.match(strict.stderr, /late was not there when the parent was made/);
    const printed = await at.backup(server, '--bitmap', 'late');
    assert.deepEqual(
      printed.passedOver.map(({ rung }) => rung),
      ['nbd'],
    );
    assert.match(printed.passedOver[0]?.reason ?? '', /late was not there when the parent was made/);
    assert.equal(printed.rung, 'scan');
    assert.ok(await at.isEqual(printed.snapshot, bytes()));
    // That one has seen it.
    assert.equal((await at.backup(server, '--bitmap', 'late', '--strict')).rung, 'nbd');
    const other = await runDray(at.place, ['backup', server.url, '--bitmap', 'other', '--strict']);
    assert.match(other.stderr, /the server shows no bitmap other/);
  });

  test('serves the newest snapshot of the export alone, also when that is deleted', async () => {
    await using at = await world();
    const { image } = await qcow2(at);
    run('qemu-img', 'bitmap', '--add', image, 'b');
    const serve = async (): Promise<RealServer> =>
      await startQemuNbd(['-r', '-B', 'b', '-f', 'qcow2', image], { socket: at.socket });
    const snapshots: string[] = [];
    for (let run = 0; run < 2; run++) {
      await using server = await serve();
      snapshots.push((await at.backup(server, '--bitmap', 'b')).snapshot);
    }
    // Cleared after the second, which the first cannot know of.
    run('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 2M 64k', image);
    run('qemu-img', 'bitmap', '--clear', image, 'b');
    await using server = await serve();
    const [older = '', newer = ''] = snapshots;
    const args = ['backup', server.url, '--bitmap', 'b', '--strict'];
    const named = await runDray(at.place, [...args, '--parent', older]);
    assert.equal(named.exitCode, 6);
    assert.match(named.stderr, /not the newest snapshot of this export/);
    assert.equal((await runDray(at.place, ['snapshot', 'delete', newer])).exitCode, 0);
    assert.equal((await runDray(at.place, args)).exitCode, 6);
  });

  test('that a checkpoint has given its name serves the snapshot of that checkpoint', async () => {
    await using at = await world();
    const { image, bytes } = await qcow2(at);
    {
      await using server = await startQemuNbd(['-r', '-f', 'qcow2', image], { socket: at.socket });
      await at.backup(server, '--source-id', 'checkpoint-1');
    }
    run('qemu-img', 'bitmap', '--add', image, 'checkpoint-1');
    run('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 2M 64k', image);
    await using server = await startQemuNbd(['-r', '-B', 'checkpoint-1', '-f', 'qcow2', image], { socket: at.socket });
    const next = await at.backup(server, '--source-id', 'checkpoint-2', '--bitmap', 'checkpoint-1', '--strict');
    assert.equal(next.rung, 'nbd');
    assert.ok(await at.isEqual(next.snapshot, bytes()));
    const again = await runDray(at.place, ['backup', server.url, '--bitmap', 'checkpoint-0', '--strict']);
    assert.equal(again.exitCode, 6);
  });

  test('that lies is caught by the audit', async () => {
    await using at = await world();
    const { image, bytes } = await qcow2(at);
    run('qemu-img', 'bitmap', '--add', image, 'b');
    const serve = async (): Promise<RealServer> =>
      await startQemuNbd(['-r', '-B', 'b', '-f', 'qcow2', image], { socket: at.socket });
    {
      await using server = await serve();
      await at.backup(server, '--bitmap', 'b');
    }
    run('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 2M 64k', image);
    run('qemu-img', 'bitmap', '--clear', image, 'b');
    await using server = await serve();
    const caught = await at.backup(server, '--bitmap', 'b');
    assert.equal(caught.rung, 'scan');
    assert.match(caught.reason, /not trusted/);
    assert.ok(await at.isEqual(caught.snapshot, bytes()));
  });
});

test(
  'a server that is killed ends the backup with the reason, and the same command goes on',
  { skip: skipNbdkit },
  async () => {
    await using at = await world();
    // Zeros that must be read to be known: many bytes of which nothing is stored.
    const plugin = [
      '-r',
      '--filter=noextents',
      '--filter=delay',
      'data',
      '@0x20000000 7 @0x3fffffff 1',
      'delay-read=20ms',
    ];
    const args = (url: string): string[] => ['backup', url, '--source-id', 'frozen-1'];
    {
      await using server = await startNbdkit(plugin, { socket: at.socket });
      const run = startDray(at.place, args(server.url));
      // A checkpoint comes at 256 MiB.
      await hasCounted(run, 'rchar', 700 * mib);
      await server.kill();
      const { exitCode, stderr } = await run.ended;
      assert.equal(exitCode, 1, stderr);
      assert.match(stderr, /closed the connection|connection broke/);
      const away = await runDray(at.place, args(server.url));
      assert.equal(away.exitCode, 1);
      assert.match(away.stderr, /connect to nbd\+unix:/);
    }
    await rm(at.socket, { force: true });
    await using server = await startNbdkit(plugin, { socket: at.socket });
    const resumed = await drayJson<Printed>(at.place, args(server.url));
    assert.equal(resumed.resumed, true);
    assert.ok(resumed.readBytes < 1024 * mib);
    const missing = await runDray(at.place, ['backup', 'nbd+unix:///x?socket=/nowhere/at/all']);
    assert.equal(missing.exitCode, 1);
  },
);
