import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { AlignedMemory } from '../../kernel/aligned-memory.ts';
import { systemClock } from '../../std/clock.ts';
import { hasCode } from '../../std/dray-error.ts';
import { seededRng, systemRng } from '../../std/rng.ts';
import { blobId, type BlobStore } from '../blob-store.ts';
import { blobStoreContract, type ContractStore } from '../blob-store.contract.ts';
import { openBlobStore } from '../open-blob-store.ts';
import type { BlobStoreLocation } from '../location.ts';

const signal = AbortSignal.timeout(60_000);
const parts = { signal, clock: systemClock, rng: systemRng };
const name = blobId('p0123456789abcdef0123456789abcdef-s01234567');
const coded =
  (code: string) =>
  (error: unknown): boolean =>
    hasCode(error, code);

interface Root extends AsyncDisposable {
  readonly path: string;
}

async function temporaryRoot(base = tmpdir()): Promise<Root> {
  const path = await mkdtemp(join(base, 'dray-store-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

async function contractStore(layers: Omit<BlobStoreLocation, 'kind' | 'path'> = {}): Promise<ContractStore> {
  const { path, [Symbol.asyncDispose]: dispose } = await temporaryRoot();
  const store = await openBlobStore({ kind: 'directory', path, ...layers }, { ...parts, create: true });
  const leftovers = async (): Promise<string[]> => {
    const files = await readdir(path, { recursive: true });
    return files.filter((file) => file.includes('.tmp.'));
  };
  return { store, leftovers, [Symbol.asyncDispose]: dispose };
}

async function createIn(path: string): Promise<BlobStore> {
  return await openBlobStore({ kind: 'directory', path }, { ...parts, create: true });
}

blobStoreContract('the directory store', contractStore);

blobStoreContract('the directory store behind faults and retries', () => {
  const operations = ['get', 'put', 'upload', 'write', 'commit', 'stat', 'list', 'remove', 'serverTime'] as const;
  return contractStore({
    retry: { attemptsMax: 50, firstPauseMs: 0, pauseMsMax: 0, budgetMs: 60_000 },
    fault: {
      seed: 7,
      rules: [
        { operations, when: { probability: 0.2 }, fault: { kind: 'fail', code: 'blob-unavailable' } },
        { operations, when: { probability: 0.2 }, fault: { kind: 'fail-after', code: 'blob-unavailable' } },
      ],
    },
  });
});

describe('the directory store', () => {
  test('lies on the disk as kopia lays it', async () => {
    await using root = await temporaryRoot();
    await using store = await createIn(root.path);
    await store.put(blobId('kopia.repository'), Buffer.from('format'), { signal });
    await store.put(name, Buffer.from('pack'), { signal });
    assert.equal(await readFile(join(root.path, '.shards'), 'utf8'), '{"default":[1,3],"maxNonShardedLength":20}\n');
    assert.equal(await readFile(join(root.path, 'kopia.repository.f'), 'utf8'), 'format');
    const pack = join(root.path, 'p', '012', `${name.slice(4)}.f`);
    assert.equal(await readFile(pack, 'utf8'), 'pack');
    assert.equal((await stat(pack)).mode & 0o777, 0o600);
    assert.equal((await stat(join(root.path, 'p', '012'))).mode & 0o777, 0o700);
  });

  test('obeys the sharding it finds, and the old default where there is none', async () => {
    await using root = await temporaryRoot();
    {
      await using store = await openBlobStore({ kind: 'directory', path: root.path }, parts);
      await store.put(name, Buffer.from('old'), { signal });
    }
    assert.deepEqual(await readdir(root.path), ['p01']);
    await writeFile(join(root.path, '.shards'), '{"default":[],"maxNonShardedLength":0}');
    await using flat = await createIn(root.path);
    await assert.rejects(flat.get(name, { signal }), coded('blob-not-found'));
    await flat.put(name, Buffer.from('flat'), { signal });
    assert.ok((await readdir(root.path)).includes(`${name}.f`));
    const found = await Array.fromAsync(flat.list('', { signal }));
    assert.deepEqual(
      found.map(({ id, lengthBytes }) => [id, lengthBytes]),
      [[name, 4]],
    );
  });

  test('keeps the old sharding of a store without parameters when it is created again', async () => {
    await using root = await temporaryRoot();
    await writeFile(join(root.path, 'kopia.repository.f'), 'format');
    await using store = await createIn(root.path);
    await store.put(name, Buffer.from('pack'), { signal });
    assert.deepEqual((await readdir(root.path)).toSorted(), ['kopia.repository.f', 'p01']);
  });

  test('refuses damaged parameters, missing directories and files in their place', async () => {
    await using root = await temporaryRoot();
    const open = (path: string): Promise<BlobStore> => openBlobStore({ kind: 'directory', path }, parts);
    await assert.rejects(open(join(root.path, 'gone')), coded('blob-not-found'));
    await writeFile(join(root.path, 'file'), '');
    await assert.rejects(open(join(root.path, 'file')), coded('blob-not-found'));
    await writeFile(join(root.path, '.shards'), '{"default":"p"}');
    await assert.rejects(open(root.path), coded('blob-layout'));
  });

  test('overlooks what is no blob: temporary files, strange names, pipes, links in a circle', async () => {
    await using root = await temporaryRoot();
    await using store = await createIn(root.path);
    await store.put(blobId('n1'), Buffer.from('1'), { signal });
    await writeFile(join(root.path, 'n2.f.tmp.0011223344556677'), 'half');
    await writeFile(join(root.path, 'notes.txt'), '');
    await writeFile(join(root.path, 'n 3.f'), '');
    await mkdir(join(root.path, 'p'));
    await writeFile(join(root.path, 'p', '01.f'), 'a short name belongs into the root');
    await symlink('.', join(root.path, 'n'));
    makePipe(join(root.path, 'n4.f'));
    const found = await Array.fromAsync(store.list('', { signal }));
    assert.deepEqual(
      found.map(({ id }) => String(id)),
      ['n1'],
    );
    await assert.rejects(store.get(blobId('n4'), { signal }), coded('blob-not-found'));
  });

  test('does not let a name lead out of its directory', async () => {
    await using root = await temporaryRoot();
    await writeFile(join(root.path, '.shards'), '{"default":[2,2],"maxNonShardedLength":0}');
    await using store = await createIn(root.path);
    await assert.rejects(store.put(blobId('....escaped'), Buffer.from('x'), { signal }), coded('blob-name'));
    await assert.rejects(store.get(blobId('..etc'), { signal }), coded('blob-name'));
  });

  test('does not make a vanished store anew', async () => {
    await using root = await temporaryRoot();
    await using store = await createIn(root.path);
    await rm(root.path, { recursive: true });
    for (const id of [name, blobId('n1')]) {
      await assert.rejects(store.put(id, Buffer.from('x'), { signal }), coded('blob-not-found'));
    }
    await assert.rejects(stat(root.path));
  });

  test('says when a pack has become shorter, also one that it has open', async () => {
    await using root = await temporaryRoot();
    await using store = await createIn(root.path);
    await store.put(name, new Uint8Array(1000), { signal });
    const range = { offset: 900, lengthBytes: 100 };
    await store.get(name, { range, signal });
    await truncate(join(root.path, 'p', '012', `${name.slice(4)}.f`), 950);
    await assert.rejects(store.get(name, { range, signal }), coded('blob-range'));
  });

  test('reads from many packs at once with few files open', async () => {
    await using root = await temporaryRoot();
    await using store = await createIn(root.path);
    const ids = Array.from({ length: 60 }, (_, index) => blobId(`p${index}`));
    for (const [index, id] of ids.entries()) await store.put(id, new Uint8Array(100).fill(index), { signal });
    const order = Array.from({ length: 600 }, () => Math.floor(systemRng.uniform() * ids.length));
    await Promise.all(
      order.map(async (index) => {
        const part = await store.get(ids[index]!, { range: { offset: 10, lengthBytes: 80 }, signal });
        assert.ok(part.every((byte) => byte === index));
      }),
    );
    const open = (await readdir('/proc/self/fd')).length;
    assert.ok(open < 60, `${open} files are open`);
  });

  for (const base of [tmpdir(), '/dev/shm']) {
    test(`uploads aligned and unaligned pieces to ${base}`, async () => {
      await using root = await temporaryRoot(base);
      await using store = await createIn(root.path);
      const memory = AlignedMemory.allocate({ slotBytes: 1 << 20, slots: 1 });
      memory.slot(0).set(seededRng(3).bytes(1 << 20));
      const pieces = [
        memory.slot(0),
        memory.slot(0).subarray(0, 8192),
        memory.slot(0).subarray(0, 5000),
        memory.slot(0),
        seededRng(4).bytes(9000),
      ];
      await using upload = await store.upload(name, { signal });
      for (const piece of pieces) await upload.write(piece);
      await upload.commit();
      assert.ok(Buffer.concat(pieces).equals(await store.get(name, { signal })));
    });
  }
});

/** A named pipe: opened without care it blocks for ever. */
function makePipe(path: string): void {
  const program = 'mkfifo';
  assert.equal(spawnSync(program, [path]).status, 0);
}
