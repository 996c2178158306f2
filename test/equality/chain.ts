/** A volume that lives: written, resized, backed up by scan and by change list, its snapshots deleted in between. */
import assert from 'node:assert/strict';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { extent, type Extent } from '../../src/volume/extent.ts';
import { normalizeExtents } from '../../src/volume/extents.ts';
import { backupFile, deleteSnapshots, restoreFile, snapshotIds, type Engine } from '../support/engine.ts';
import { changeVolume, dataBytes, dataDigest, writeVolume, type VolumePiece } from '../support/volume-model.ts';

export type Step =
  | { readonly kind: 'write'; readonly piece: VolumePiece }
  | { readonly kind: 'resize'; readonly sizeBytes: number }
  | { readonly kind: 'backup'; readonly how: 'scan' | 'list' | 'flat' }
  /** The snapshot at this part, 0 to 1, of those that live. */
  | { readonly kind: 'delete'; readonly which: number };

interface Taken {
  readonly id: string;
  readonly digest: string;
}

/** Metadata that a filesystem may charge to a file. */
const slackBytes = 64 * 1024;

export class Chain {
  readonly #engine: Engine;
  readonly #folder: string;
  readonly #source: string;
  readonly #taken: Taken[] = [];
  #sizeBytes = 0;
  /** Written or cut off since the last snapshot. */
  #changed: Extent[] = [];

  constructor(engine: Engine, folder: string) {
    this.#engine = engine;
    this.#folder = folder;
    this.#source = join(folder, 'volume.img');
  }

  async begin(sizeBytes: number): Promise<void> {
    this.#sizeBytes = sizeBytes;
    await writeVolume(this.#source, { sizeBytes, pieces: [] });
  }

  async apply(step: Step): Promise<void> {
    switch (step.kind) {
      case 'write': {
        const { piece } = step;
        const lengthBytes = Math.min(piece.lengthBytes, this.#sizeBytes - piece.offset);
        if (lengthBytes <= 0) return;
        await changeVolume(this.#source, { sizeBytes: this.#sizeBytes, pieces: [piece] });
        this.#changed.push(extent(piece.offset, lengthBytes));
        return;
      }
      case 'resize':
        if (step.sizeBytes < this.#sizeBytes) {
          this.#changed.push(extent(step.sizeBytes, this.#sizeBytes - step.sizeBytes));
        }
        this.#sizeBytes = step.sizeBytes;
        await changeVolume(this.#source, { sizeBytes: step.sizeBytes, pieces: [] });
        return;
      case 'backup':
        await this.#backup(step.how);
        return;
      case 'delete':
        await this.#delete(step.which);
    }
  }

  /** Every snapshot that lives, in each of the ways to restore. */
  async checkAll(): Promise<number> {
    assert.deepEqual(new Set(await snapshotIds(this.#engine)), new Set(this.#taken.map(({ id }) => id)));
    const target = join(this.#folder, 'restored.img');
    for (const [index, { id, digest }] of this.#taken.entries()) {
      // The target of the one before stands where the next one goes: longer, shorter, and with other data.
      const how = index === 0 ? {} : index % 2 === 0 ? { delta: true } : { overwrite: true };
      await restoreFile(this.#engine, id, target, how);
      assert.equal(await dataDigest(target), digest, `snapshot ${index} of ${this.#taken.length}`);
      const allocated = (await stat(target)).blocks * 512;
      assert.ok(allocated <= (await dataBytes(target)) + slackBytes, `${allocated} bytes allocated`);
    }
    await rm(target, { force: true });
    return this.#taken.length;
  }

  async #backup(how: 'scan' | 'list' | 'flat'): Promise<void> {
    const parent = this.#taken.at(-1);
    const resized = this.#changed.filter((range) => range.offset < this.#sizeBytes);
    const within = resized.map(({ offset, lengthBytes }) =>
      extent(offset, Math.min(lengthBytes, this.#sizeBytes - offset)),
    );
    const list = { parent: parent?.id ?? '', extents: normalizeExtents(within) };
    const options = how === 'list' && parent !== undefined ? { changeList: list } : {};
    const layout = how === 'flat' ? 'flat-1' : 'tree-1';
    const { snapshot, audit } = await backupFile(this.#engine, this.#source, { ...options, layout });
    assert.deepEqual(audit?.missed ?? [], []);
    this.#taken.push({ id: snapshot, digest: await dataDigest(this.#source) });
    this.#changed = [];
  }

  async #delete(which: number): Promise<void> {
    const index = Math.floor(which * this.#taken.length);
    const [gone] = this.#taken.splice(index, 1);
    if (gone === undefined) return;
    await deleteSnapshots(this.#engine, [gone.id]);
    // What changed before the new last snapshot was not written down: the next list would be of another parent.
    if (index === this.#taken.length) this.#changed = [extent(0, this.#sizeBytes)];
  }
}
