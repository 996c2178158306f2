/**
 * The blocks of what was deleted or replaced are given back after the pool's lock is: others change the pool meanwhile. A
 * lease on the image makes that last: the kernel lets nobody write to it, or cut it, before the holder has agreed.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { revertVolume } from '../../src/pool/revert-volume.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { makeVolume, signal, smallPool, takeSnapshots } from './small-pool.ts';

interface Lease extends AsyncDisposable {
  /** Somebody wants to write to the file, and waits. */
  readonly wanted: () => Promise<void>;
}

/** A read lease (F_SETLEASE 1024, F_RDLCK 0), in another process. */
async function lease(path: string): Promise<Lease> {
  const script = `$| = 1; open(F, '<', $ARGV[0]) or die; $SIG{IO} = sub { print "wanted\\n" };
    defined(fcntl(F, 1024, 0)) or die "lease: $!"; print "leased\\n"; while (defined(my $line = <STDIN>) || $!{EINTR}) {}`;
  const child = spawn('perl', ['-MErrno', '-e', script, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<void> => {
    if ((await lines.next()).done === true) throw new Error('the holder of the lease has ended');
  };
  await next();
  return {
    wanted: next,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

const removals: readonly {
  readonly what: string;
  readonly image: (pool: Pool) => string;
  readonly run: (pool: Pool) => Promise<unknown>;
}[] = [
  {
    what: 'the old content of a volume that is reverted',
    image: (pool) => pool.volume('data').image,
    run: async (pool) =>
      await revertVolume(pool, { volume: 'data', snapshot: 'mon' }, { onDropped: () => undefined, signal }),
  },
  {
    what: 'a snapshot that is deleted',
    image: (pool) => pool.snapshot('data', 'tue').image,
    run: async (pool) => await deleteSnapshot(pool, { volume: 'data', snapshot: 'tue' }, { force: false, signal }),
  },
];

describe('giving blocks back', { skip: fileSystemsMissing('xfs') }, () => {
  for (const { what, image, run: remove } of removals) {
    test(`lets others change the pool meanwhile > ${what}`, async () => {
      await using small = await smallPool();
      const { pool } = small;
      for (const name of ['data', 'other']) await makeVolume(pool, name);
      for (const name of ['mon', 'tue']) await takeSnapshots(pool, [`data@${name}`]);
      let isOver = false;
      let removing: Promise<unknown>;
      {
        await using held = await lease(image(pool));
        removing = remove(pool).then(() => (isOver = true));
        await held.wanted();
        await takeSnapshots(pool, ['other@mon']);
        assert.equal(isOver, false, 'others had to wait for it');
        assert.equal((await readdir(pool.layout.staging)).length, 1);
      }
      await removing;
      assert.deepEqual(await readdir(pool.layout.staging), []);
    });
  }
});
