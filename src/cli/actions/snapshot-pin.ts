import { resolveSnapshot, withPins } from '../../repository/manifest/snapshot.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { SnapshotPinOptions } from '../snapshot-pin.ts';
import { changeManifests } from './change-manifests.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';

export const snapshotPin: RepositoryAction<SnapshotPinOptions> = async (
  context,
  { snapshot: wanted, labels, remove },
  opening,
) => {
  await using opened = await openRepository(context, opening);
  const { repository } = opened;
  const set = await repository.manifests.load({ signal: context.signal });
  const { id, pins } = resolveSnapshot(set, wanted);
  const gone = labels.length === 0 ? pins : labels;
  const after = remove ? pins.filter((pin) => !gone.includes(pin)) : [...new Set([...pins, ...labels])].toSorted();
  const same = after.length === pins.length && after.every((pin) => pins.includes(pin));
  if (!same) {
    const entry = set.get(id)!;
    await changeManifests(context, { repository, set }, () => void set.put({ ...withPins(entry, after), id }));
  }
  const text = after.length === 0 ? 'none' : after.join(', ');
  await context.output.record({ snapshot: id, pins: after }, { names: [id], fields: [['Pins', `${text} on ${id}`]] });
  return exitCodes.done;
};
