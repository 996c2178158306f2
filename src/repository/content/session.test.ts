import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { blobId } from '../../blobs/blob-store.ts';
import { seededRng } from '../../std/rng.ts';
import { openFixture, readFixture, testFormat } from '../format/format-fixtures.ts';
import { RepositoryError } from '../repository-error.ts';
import { ContentCodec } from './content-codec.ts';
import { decodeSessionMarker, encodeSessionMarker, newSessionId, sessionIdOf } from './session.ts';

const codec = new ContentCodec({ ...testFormat, hash: 'BLAKE2B-256-128' });

describe('session', () => {
  it('ends an id with the number of 30 day steps since 2000', () => {
    const rng = { ...seededRng(1), bytes: () => Buffer.from('0123456789abcdef', 'hex') };
    assert.equal(newSessionId({ rng, nowMs: Date.parse('2024-01-01T00:00:00Z') }), 's0123456789abcdef124');
    assert.equal(newSessionId({ rng, nowMs: Date.parse('2026-05-20T00:00:00Z') }), 's0123456789abcdef141');
  });

  it('finds the session of a blob in its name', () => {
    assert.equal(sessionIdOf(blobId('p0123-s0123456789abcdef124')), 's0123456789abcdef124');
    assert.equal(sessionIdOf(blobId('xn0_0123-s0123456789abcdef124-c1')), 's0123456789abcdef124');
    assert.equal(sessionIdOf(blobId('s0123-x-s9')), 's9');
    assert.equal(sessionIdOf(blobId('s0123')), undefined);
  });

  it('reads back the marker that it wrote', () => {
    const marker = { sessionId: 's0123456789abcdef124', nowMs: 1_700_000_000_123, userName: 'u', host: 'ü' };
    const { id, bytes } = encodeSessionMarker(codec, { ...marker, startTimeMs: 1_600_000_000_000 });
    assert.match(id, /^s[0-9a-f]{32}-s0123456789abcdef124$/);
    assert.deepEqual(decodeSessionMarker(codec, id, bytes), {
      sessionId: marker.sessionId,
      startTimeMs: 1_600_000_000_000,
      checkpointTimeMs: marker.nowMs,
      userName: 'u',
      host: 'ü',
    });
  });

  it('reads the marker of an upload that was killed', async () => {
    const fixture = readFixture('interrupted');
    const kopia = new ContentCodec((await openFixture(fixture)).format);
    const markers = [...fixture.blobs].filter(([id]) => id.startsWith('s'));
    assert.equal(markers.length, 1);
    for (const [id, bytes] of markers) {
      const marker = decodeSessionMarker(kopia, id, bytes);
      assert.equal(marker.sessionId, sessionIdOf(id));
      assert.deepEqual([marker.userName, marker.host], ['tester', 'fixture']);
      assert.ok(marker.checkpointTimeMs >= marker.startTimeMs && marker.startTimeMs > Date.UTC(2026));
    }
  });

  it('calls a marker with other contents corrupt', () => {
    const anyPlain = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.json().map((text) => Buffer.from(text)),
      fc.constant(Buffer.from('{"id":"s1","startTime":"never","checkpointTime":"2026-01-01T00:00:00Z"}')),
    );
    fc.assert(
      fc.property(anyPlain, (plain) => {
        const { id, bytes } = codec.sealNamed('s', 's1', plain);
        const corrupt = (error: unknown): boolean => error instanceof RepositoryError && error.code === 'corrupt';
        assert.throws(() => decodeSessionMarker(codec, id, bytes), corrupt);
      }),
    );
  });
});
