import type { BlobRetention } from '../../blobs/blob-store.ts';
import { strangerIn } from '../../blobs/directory/stranger-in.ts';
import { openBlobStore } from '../../blobs/open-blob-store.ts';
import { retentionMsMin } from '../../repository/format/blobcfg.ts';
import { createFormat } from '../../repository/format/format-store.ts';
import {
  canExtendLocks,
  defaultMaintenanceParams,
  maintenanceLabels,
} from '../../repository/manifest/maintenance-params.ts';
import { defaultGlobalPolicy, policyLabels } from '../../repository/manifest/policy.ts';
import { identityText, Repository } from '../../repository/repository.ts';
import { RepositoryError } from '../../repository/repository-error.ts';
import type { Action } from '../command.ts';
import type { RepositoryCreateOptions } from '../repository-create.ts';
import { CliError } from '../shell/cli-error.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { storeLocation } from './begin-opening.ts';
import { describeRepository } from './repository-status.ts';
import { requireLock } from './try-lock.ts';

/** The format first, then the global policy and the owner of maintenance: without an owner nobody may maintain. */
export const repositoryCreate: Action<RepositoryCreateOptions> = async (context, options) => {
  const { clock, rng, signal, identity } = context;
  const location = storeLocation(context, { url: options.url });
  const retention = retentionOf(options);
  if (location.kind === 'directory') await refuseOtherFiles(location.path);
  const password = await context.password({ isNew: true });
  if (retention !== undefined) await requireLock(location, context);
  {
    await using store = await openBlobStore(location, { create: true, signal, clock, rng });
    const { hash, encryption, splitter, formatVersion: version, keyDerivation, eccOverheadPercent } = options;
    await createFormat(store, {
      password,
      options: { hash, encryption, splitter, version, keyDerivation, eccOverheadPercent },
      retention,
      rng,
      signal,
    });
  }
  const store = await openBlobStore(location, { signal, clock, rng });
  const cacheDirectory = context.cacheDirectory();
  await using repository = await Repository.open({ store, clock, rng }, { password, cacheDirectory, signal });
  await using writer = await repository.writer(identity, { signal });
  const set = await repository.manifests.load({ signal });
  set.put({ labels: policyLabels({}), data: defaultGlobalPolicy({ compressorName: options.compression }) });
  const owner = identityText(identity);
  const extendObjectLocks = retention !== undefined && canExtendLocks(retention.periodMs);
  if (retention !== undefined && !extendObjectLocks) {
    context.log.warn('locks of less than two days pass before maintenance extends them: it does not try');
  }
  set.put({ labels: maintenanceLabels, data: defaultMaintenanceParams(owner, { extendObjectLocks }) });
  await repository.manifests.save(set, writer);
  await writer.finish();
  await describeRepository(context, repository);
  return exitCodes.done;
};

/** Among other files nobody would know what belongs to the repository. @throws {RepositoryError} `repository-foreign` */
async function refuseOtherFiles(path: string): Promise<void> {
  const stranger = await strangerIn(path);
  if (stranger === undefined) return;
  throw new RepositoryError('repository-foreign', `${path} is not empty: it holds ${stranger}`);
}

/** Kopia's limits, told before anything is asked or made. */
function retentionOf({ retentionMode, retentionPeriodMs }: RepositoryCreateOptions): BlobRetention | undefined {
  if (retentionMode === undefined && retentionPeriodMs === undefined) return undefined;
  if (retentionMode === undefined || retentionPeriodMs === undefined) {
    throw new CliError('usage', '--retention-mode and --retention-period are given together, or neither');
  }
  if (retentionPeriodMs < retentionMsMin) throw new CliError('usage', '--retention-period is a day or more');
  return { mode: retentionMode.toUpperCase(), periodMs: retentionPeriodMs };
}
