import { openBlobStore } from '../../blobs/open-blob-store.ts';
import { changePassword } from '../../repository/format/format-store.ts';
import type { Action } from '../command.ts';
import type { RepositoryPasswordOptions } from '../repository-password.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { storeLocation } from './begin-opening.ts';

export const repositoryPassword: Action<RepositoryPasswordOptions> = async (context, options) => {
  const { clock, rng, signal } = context;
  const location = storeLocation(context);
  await using store = await openBlobStore(location, { signal, clock, rng });
  const password = await context.password();
  const newPassword = await context.newPassword(options.newPassword);
  await changePassword(store, { password, newPassword, clock, rng, signal });
  await context.output.record(
    { repository: store.description, changed: true },
    { names: [store.description], fields: [['Password', `changed for ${store.description}`]] },
  );
  return exitCodes.done;
};
