/** One round: every tool does everything once, one after the other, on the same image in the same folder. */
import { writeFile } from 'node:fs/promises';
import { changeImage } from './image.ts';
import { attachDevice, devicesMissing } from './devices.ts';
import { firstDifference } from '../src/cli/actions/first-difference.ts';
import type { DrayPeer } from './peers/dray.ts';
import { KopiaPeer } from './peers/kopia.ts';
import type { Peer } from './peers/peer.ts';
import type { Samples } from './samples.ts';
import { settle, warm, type Workspace } from './workspace.ts';

export interface RoundParts {
  readonly workspace: Workspace;
  readonly samples: Samples;
  readonly dray: DrayPeer;
  /** All of them, `dray` too. */
  readonly peers: readonly Peer[];
  readonly image: string;
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
  /** Runs with the repositories of the round still there. */
  readonly beforeRemoval: () => Promise<void>;
}

/** `round` turns the order of the tools and seeds the changes. The image is changed by a hundredth at the end. */
export async function runRound(parts: RoundParts, round: number): Promise<void> {
  const { dray, peers, samples, image, sizeBytes } = parts;
  const order = peers.map((_, at) => peers[(at + round) % peers.length]!);
  for (const peer of order) {
    await peer.create();
    await warm(image);
    settle();
    const measured = await peer.backup(image);
    samples.add(`full backup, ${peer.name}`, measured, {
      volumeBytes: sizeBytes,
      storedBytes: await peer.storedBytes(),
    });
  }
  await warm(image);
  settle();
  const { snapshot, ...rescan } = await dray.backup(image);
  samples.add('unchanged rescan, dray', rescan, { volumeBytes: sizeBytes, readBytes: rescan.readBytes });
  for (const peer of order) await restoreFiles(parts, peer, round === 0);
  if (devicesMissing() === undefined) {
    for (const peer of order) await restoreDevices(parts, peer, round === 0);
  }
  await backUpChanges(parts, snapshot, round);
  await parts.beforeRemoval();
  for (const peer of peers) await peer.remove();
}

async function restoreFiles(parts: RoundParts, peer: Peer, compare: boolean): Promise<void> {
  for (const { name, cold } of restoresOf(peer)) {
    const target = parts.workspace.path('restored.img');
    await peer.warm();
    settle();
    const measured = await peer.restore(parts.image, target, { cold });
    parts.samples.add(`restore to a file, ${name}`, measured, { volumeBytes: parts.sizeBytes });
    if (compare) await mustEqual(parts, target, name);
    await parts.workspace.remove('restored.img');
  }
}

async function restoreDevices(parts: RoundParts, peer: Peer, compare: boolean): Promise<void> {
  for (const { name, cold } of restoresOf(peer)) {
    await using device = await attachDevice(parts.workspace, 'device.img', parts.sizeBytes);
    await peer.warm();
    settle();
    const measured = await peer.restoreToDevice(parts.image, device.path, { cold });
    parts.samples.add(`restore to a device, ${name}`, measured, { volumeBytes: parts.sizeBytes });
    if (compare) await mustEqual(parts, device.path, name);
  }
}

/** Kopia restores twice: its own cache empty, then filled by the first time. */
function restoresOf(peer: Peer): { readonly name: string; readonly cold: boolean }[] {
  if (!(peer instanceof KopiaPeer)) return [{ name: peer.name, cold: false }];
  return [
    { name: `${peer.name}, cold cache`, cold: true },
    { name: `${peer.name}, warm cache`, cold: false },
  ];
}

async function backUpChanges(parts: RoundParts, parent: string, round: number): Promise<void> {
  const { dray, samples, image, sizeBytes, workspace } = parts;
  const nothing = workspace.path('empty.img');
  await writeFile(nothing, '');
  samples.add('empty run: backup of a volume of 0 bytes, dray', await dray.backup(nothing), { volumeBytes: 0 });
  const none = await dray.backup(image, { changes: { parent, extents: [] } });
  samples.add('no change, dray', none, { volumeBytes: sizeBytes, readBytes: none.readBytes });
  const extents = changeImage(image, { sizeBytes, share: 0.01, seed: `change ${round}` });
  await warm(image);
  settle();
  const changed = await dray.backup(image, { changes: { parent: none.snapshot, extents } });
  samples.add('1 % changed in 64 KiB pieces, dray', changed, { volumeBytes: sizeBytes, readBytes: changed.readBytes });
}

/** A fast tool that restores other bytes would be worth nothing. */
async function mustEqual({ image, signal }: RoundParts, target: string, what: string): Promise<void> {
  const at = await firstDifference(image, target, { signal });
  if (at !== undefined) throw new Error(`${what}: byte ${at} differs from the image`);
}
