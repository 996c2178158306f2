/**
 * The blob `kopia.maintenance`: schedule and history of maintenance (Kopia `maintenance_schedule.go`). Here only its
 * envelope; the JSON inside is passed on as text, because its history decides what may be deleted and must survive
 * members that this program does not know.
 */
import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import type { Rng } from '../../std/rng.ts';
import { RepositoryError } from '../repository-error.ts';
import { openEnvelope, sealEnvelope, type EnvelopeKey } from './envelope.ts';
import type { OpenedFormat } from './format-store.ts';

export const maintenanceBlobId: BlobId = blobId('kopia.maintenance');

export function sealMaintenance(format: Pick<OpenedFormat, 'deriveKey'>, json: string, rng: Rng): Uint8Array {
  return sealEnvelope(maintenanceKey(format), Buffer.from(json), rng);
}

/** @throws {RepositoryError} `corrupt` */
export function openMaintenance(format: Pick<OpenedFormat, 'deriveKey'>, sealed: Uint8Array): string {
  const plain = openEnvelope(maintenanceKey(format), sealed);
  if (plain === undefined) throw new RepositoryError('corrupt', `${maintenanceBlobId} does not authenticate`);
  return Buffer.from(plain).toString();
}

function maintenanceKey(format: Pick<OpenedFormat, 'deriveKey'>): EnvelopeKey {
  return { key: format.deriveKey('maintenance schedule', 32), additional: Buffer.from('maintenance') };
}
