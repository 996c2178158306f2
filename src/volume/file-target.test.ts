import assert from 'node:assert/strict';
import { access, link, mkdtemp, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { AlignedMemory } from '../kernel/aligned-memory.ts';
import { KernelError, renameNew } from '../kernel/sys.ts';
import { hasCode } from '../std/dray-error.ts';
import { seededRng } from '../std/rng.ts';
import { extent } from './extent.ts';
import { giveNewName, openFileTarget, reopenTarget, targetInUse, type NamingCalls } from './file-target.ts';
import { openDeviceTarget } from './device-target.ts';

const signal = AbortSignal.timeout(60_000);
const coded =
  (code: string) =>
  (error: unknown): boolean =>
    hasCode(error, code);

async function folder(base = tmpdir()): Promise<AsyncDisposable & { file(name: string): string }> {
  const path = await mkdtemp(join(base, 'dray-target-'));
  return {
    file: (name) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

const steps = fc.array(
  fc.record({
    offset: fc.oneof(
      fc.nat(60_000),
      fc.nat(14).map((block) => block * 4096),
    ),
    lengthBytes: fc.oneof(
      fc.nat(30_000),
      fc.nat(7).map((block) => block * 4096),
    ),
    zero: fc.boolean(),
    aligned: fc.boolean(),
  }),
  { maxLength: 10 },
);

describe('a file target', () => {
  for (const base of [tmpdir(), '/dev/shm']) {
    test(`holds what was written and zeroed, in ${base}`, async () => {
      await using place = await folder(base);
      const memory = AlignedMemory.allocate({ slotBytes: 65_536, slots: 1 });
      await fc.assert(
        fc.asyncProperty(fc.nat(60_000), steps, async (sizeBytes, plan) => {
          await using target = await openFileTarget(place.file('image'), { sizeBytes, mode: 'truncate', signal });
          const model = Buffer.alloc(sizeBytes);
          for (const [seed, { offset, lengthBytes, zero, aligned }] of plan.entries()) {
            const start = Math.min(offset, sizeBytes);
            const range = extent(start, Math.min(lengthBytes, sizeBytes - start));
            const bytes = zero ? new Uint8Array(range.lengthBytes) : seededRng(seed).bytes(range.lengthBytes);
            model.set(bytes, start);
            memory.slot(0).set(bytes);
            if (zero) await target.zero(range, { signal });
            else await target.write(range, aligned ? memory.slot(0).subarray(0, bytes.length) : bytes, { signal });
          }
          await target.flush({ signal });
          assert.ok(model.equals(await readFile(place.file('image'))));
          const back = Buffer.alloc(sizeBytes);
          await target.read(extent(0, sizeBytes), back, { signal });
          assert.ok(model.equals(back));
        }),
        { numRuns: 40 },
      );
    });
  }

  test('is sparse when new, and sparse again where it was zeroed', async () => {
    await using place = await folder();
    const sizeBytes = 64 * 2 ** 20;
    await using target = await openFileTarget(place.file('image'), { sizeBytes, mode: 'create', signal });
    assert.equal(target.location.zeroed, true);
    await target.write(extent(0, 8 * 2 ** 20), new Uint8Array(8 * 2 ** 20).fill(1), { signal });
    await target.flush({ signal });
    assert.ok((await stat(place.file('image'))).blocks * 512 >= 8 * 2 ** 20);
    await target.zero(extent(0, sizeBytes), { signal });
    await target.flush({ signal });
    assert.ok((await stat(place.file('image'))).blocks * 512 < 2 ** 20);
  });

  test('keeps its bytes in place and gets the size that is asked for', async () => {
    await using place = await folder();
    await writeFile(place.file('image'), 'abcdef');
    const open = async (sizeBytes: number): Promise<string> => {
      await using target = await openFileTarget(place.file('image'), { sizeBytes, mode: 'in-place', signal });
      assert.equal(target.location.zeroed, false);
      return await readFile(place.file('image'), 'utf8');
    };
    assert.equal(await open(3), 'abc');
    assert.equal(await open(5), 'abc\0\0');
  });

  test('refuses what exists, is missing, or is no file', async () => {
    await using place = await folder();
    await writeFile(place.file('image'), 'abc');
    const open = (name: string, mode: 'create' | 'truncate' | 'in-place') =>
      openFileTarget(name, { sizeBytes: 1, mode, signal });
    await assert.rejects(open(place.file('image'), 'create'), coded('volume-exists'));
    assert.equal(await readFile(place.file('image'), 'utf8'), 'abc');
    await assert.rejects(open(place.file('gone'), 'in-place'), coded('volume-not-found'));
    await assert.rejects(open(place.file('no/such/folder'), 'create'), coded('volume-not-found'));
    await assert.rejects(open(tmpdir(), 'truncate'), coded('volume-kind'));
    const device = openDeviceTarget(place.file('image'), { sizeBytes: 1, signal });
    await assert.rejects(device, coded('volume-kind'));
    assert.equal(await targetInUse(place.file('image'), { signal }), undefined);
  });

  test('is written to by several threads through its location', async () => {
    await using place = await folder();
    await using target = await openFileTarget(place.file('image'), { sizeBytes: 8192, mode: 'create', signal });
    await using again = await reopenTarget(structuredClone(target.location), { signal });
    await Promise.all([
      target.write(extent(0, 5000), new Uint8Array(5000).fill(1), { signal }),
      again.write(extent(5000, 3192), new Uint8Array(3192).fill(2), { signal }),
    ]);
    const expected = Buffer.concat([Buffer.alloc(5000, 1), Buffer.alloc(3192, 2)]);
    assert.ok(expected.equals(await readFile(place.file('image'))));
    await truncate(place.file('image'), 10);
    await assert.rejects(reopenTarget(target.location, { signal }), coded('volume-changed'));
  });

  test('refuses to write past its end and says when there is no space', async () => {
    await using place = await folder();
    await using target = await openFileTarget(place.file('image'), { sizeBytes: 10, mode: 'create', signal });
    await assert.rejects(target.write(extent(5, 6), new Uint8Array(6), { signal }), coded('volume-range'));
    await assert.rejects(target.zero(extent(11, 0), { signal }), coded('volume-range'));
    const tooLarge = openFileTarget(place.file('huge'), { sizeBytes: 2 ** 52, mode: 'create', signal });
    await assert.rejects(tooLarge, coded('volume-no-space'));
    await assert.rejects(stat(place.file('huge')));
  });
});

describe('a file target in the place of which is a symbolic link', () => {
  test('is not made, emptied, opened or opened again', async () => {
    await using place = await folder();
    await writeFile(place.file('precious'), 'abc');
    await symlink('precious', place.file('image'));
    await symlink('nowhere', place.file('dangling'));
    for (const mode of ['truncate', 'in-place'] as const) {
      const opening = openFileTarget(place.file('image'), { sizeBytes: 1, mode, signal });
      await assert.rejects(opening, /image is a symbolic link/);
    }
    const making = openFileTarget(place.file('dangling'), { sizeBytes: 1, mode: 'truncate', signal });
    await assert.rejects(making, coded('volume-kind'));
    await assert.rejects(access(place.file('nowhere')));
    const location = { path: place.file('image'), kind: 'file', sizeBytes: 3, zeroed: false } as const;
    await assert.rejects(reopenTarget(location, { signal }), coded('volume-kind'));
    assert.equal(await readFile(place.file('precious'), 'utf8'), 'abc');
  });
});

describe('a finished file', () => {
  const refused = (errno: string) => async (): Promise<void> => {
    throw Object.assign(new Error(errno), { code: errno });
  };
  const unsupported = async (): Promise<void> => {
    throw new KernelError('rename', 'EINVAL');
  };
  const systems: Readonly<Record<string, NamingCalls>> = {
    'renames without replacing': { renameNew, link: refused('EPERM') },
    'has hard links': { renameNew: unsupported, link },
    'has neither': { renameNew: unsupported, link: refused('EPERM') },
  };
  for (const [which, calls] of Object.entries(systems)) {
    test(`gets its name, but not one that is taken, on a file system that ${which}`, async () => {
      await using place = await folder();
      const [partial, image] = [place.file('image.partial'), place.file('image')];
      await writeFile(partial, 'restored');
      await writeFile(image, 'made meanwhile');
      await assert.rejects(giveNewName(partial, image, calls), /exist/i);
      assert.equal(await readFile(image, 'utf8'), 'made meanwhile');
      await rm(image);
      await symlink('nowhere', image);
      await assert.rejects(giveNewName(partial, image, calls), /exist/i);
      await rm(image);
      await giveNewName(partial, image, calls);
      assert.equal(await readFile(image, 'utf8'), 'restored');
      await assert.rejects(access(partial), { code: 'ENOENT' });
    });
  }

  test('keeps its old name when the system fails for another reason', async () => {
    await using place = await folder();
    await writeFile(place.file('image.partial'), 'restored');
    const calls = { renameNew: unsupported, link: refused('EIO') };
    await assert.rejects(giveNewName(place.file('image.partial'), place.file('image'), calls), { code: 'EIO' });
    assert.equal(await readFile(place.file('image.partial'), 'utf8'), 'restored');
  });
});
