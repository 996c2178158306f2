/** A backup of the simulation that has begun and not ended. */
import type { ObjectId } from '../../src/repository/object/object-id.ts';
import type { SnapshotId } from '../../src/repository/manifest/snapshot.ts';
import type { Repository } from '../../src/repository/repository.ts';
import type { RepositoryWriter } from '../../src/repository/repository-writer.ts';

export interface Backup {
  readonly repository: Repository;
  readonly writer: RepositoryWriter;
  readonly path: string;
  readonly files: ObjectId[];
  id: SnapshotId | undefined;
  refreshedMs: number;
  checkpointMs: number;
}

export async function close({ writer, repository }: Backup): Promise<void> {
  await writer[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
}
