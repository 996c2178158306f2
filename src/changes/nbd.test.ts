import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NbdError } from '../nbd/nbd-error.ts';
import type { NbdSource, StatusRun } from '../nbd/nbd-source.ts';
import type { VolumeTags } from '../repository/tree/volume-tags.ts';
import { extent, type Extent } from '../volume/extent.ts';
import type { LadderParent, Offered } from './ladder.ts';
import { bitmapOffer, bitmapTag, isSameExport } from './nbd.ts';

const { signal } = new AbortController();
const mib = 2 ** 20;
const path = 'nbd://h/a b';

interface Export {
  readonly sizeBytes?: number;
  readonly bitmaps?: readonly string[];
  readonly runs?: Iterable<StatusRun>;
}

function exportOf({ sizeBytes = 8 * mib, bitmaps = ['b'], runs = [] }: Export): NbdSource {
  const source = {
    location: { path },
    sizeBytes,
    bitmaps,
    tellsOf: (context: string) => bitmaps.some((name) => context === `qemu:dirty-bitmap:${name}`),
    // oxlint-disable-next-line require-yield
    async *status() {
      yield* runs;
    },
  };
  return source as unknown as NbdSource;
}

async function since(tags: VolumeTags, source: Export, name = 'b'): Promise<Offered> {
  return await bitmapOffer(exportOf(source), name).since({ tags } as LadderParent, { signal });
}

const run = (offset: number, lengthBytes: number, flags: number | undefined): StatusRun => ({
  offset,
  lengthBytes,
  flags,
});
const tag = (...bitmaps: readonly string[]): string => bitmapTag(exportOf({ bitmaps }));
const refusal = (answer: Offered): string => ('refused' in answer ? answer.refused : '');

test('a bitmap serves a parent that saw it, or that is the checkpoint it is named after', async () => {
  for (const tags of [{ bitmap: tag('b') }, { bitmap: tag('a', 'b', 'c') }, { bitmap: tag(), sourceId: 'b' }]) {
    const answer = await since(tags, { runs: [run(0, mib, 0), run(mib, mib, 1)] });
    assert.ok('extents' in answer);
    assert.deepEqual(answer.extents, [extent(mib, mib)]);
  }
});

test('a bitmap serves no parent that may be older than it', async () => {
  assert.match(refusal(await since({}, {})), /not the newest snapshot of this export/);
  assert.match(refusal(await since({ sourceId: 'b' }, {})), /not the newest snapshot of this export/);
  assert.match(
    refusal(await since({ bitmap: 'nbd%3A%2F%2Fh%2Fother b' }, {})),
    /not the newest snapshot of this export/,
  );
  assert.match(refusal(await since({ bitmap: tag() }, {})), /was not there when the parent was made/);
  assert.match(
    refusal(await since({ bitmap: tag('bb', 'B'), sourceId: 'bb' }, {})),
    /was not there when the parent was made/,
  );
  assert.match(refusal(await since({ bitmap: tag('b') }, { bitmaps: ['c'] })), /the server shows no bitmap b/);
});

test('names of bitmaps are any text', async () => {
  for (const name of ['a b', '%20', 'ü,;', ' ', 'nbd://h/a']) {
    const answer = await since({ bitmap: tag('x', name) }, { bitmaps: [name] }, name);
    assert.ok('extents' in answer, name);
  }
  assert.ok(isSameExport(tag('a'), tag()));
  assert.ok(!isSameExport(tag('a'), 'nbd%3A%2F%2Fh%2Fa a'));
});

test('whatever is not clean is dirty, and neighbours are one', async () => {
  const runs = [run(0, 10, 0), run(10, 10, 1), run(20, 5, undefined), run(25, 5, 2), run(30, 10, 0), run(40, 1, 3)];
  const answer = await since({ bitmap: tag('b') }, { runs });
  assert.ok('extents' in answer);
  assert.deepEqual(answer.extents, [extent(10, 20), extent(40, 1)]);
});

test('of more extents than are held, neighbours are taken together and none is lost', async () => {
  const step = 2 ** 21;
  // A tenth more than are held, so that taking them together begins anew.
  const sizeBytes = 1_150_000 * step;
  const some: number[] = [];
  function* runs(): Generator<StatusRun> {
    for (let offset = 0; offset < sizeBytes; offset += step) {
      if (offset % (step * 100_003) === 0) some.push(offset);
      yield run(offset, 4096, 1);
      if (offset % (step * 100) === 0) yield run(offset + 4096, step - 4096, 0);
    }
  }
  const answer = await since({ bitmap: tag('b') }, { sizeBytes, runs: runs() });
  assert.ok('extents' in answer);
  const { extents } = answer;
  assert.ok(extents.length <= 2 ** 20);
  const holds = ({ offset, lengthBytes }: Extent, at: number): boolean => offset <= at && at < offset + lengthBytes;
  for (const at of some)
    assert.ok(
      extents.some((each) => holds(each, at)),
      String(at),
    );
});

test('a bitmap that cannot be read is passed over; a connection that is lost is not', async () => {
  const failing = (code: 'nbd-io' | 'nbd-unreachable'): Iterable<StatusRun> => ({
    [Symbol.iterator]: () => {
      throw new NbdError(code, 'ask');
    },
  });
  assert.match(refusal(await since({ bitmap: tag('b') }, { runs: failing('nbd-io') })), /could not read/);
  await assert.rejects(since({ bitmap: tag('b') }, { runs: failing('nbd-unreachable') }), { code: 'nbd-unreachable' });
});
