/** One repository with both programs on it, and the sources that they back up. Everything goes when it is disposed of. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

import { seededRng } from '../../src/std/rng.ts';
import { KopiaClient, requireKopia } from '../peers/peers.ts';
import { memoryFolder } from '../support/temporary.ts';
import { DrayClient } from './dray-client.ts';

/** Both programs speak as this client, so that either may maintain what the other created. */
export const identity = { user: 'tester', host: 'fixture' };
export const password = 'a password of both';

export interface Site extends AsyncDisposable {
  readonly folder: string;
  readonly repository: string;
  readonly kopia: KopiaClient;
  readonly dray: DrayClient;
}

/** Undefined when there is no kopia, and the test is marked as skipped. */
export async function openSite(test: TestContext): Promise<Site | undefined> {
  const program = await requireKopia(test);
  if (program === undefined) return undefined;
  const place = await memoryFolder('interop');
  const folder = place.path;
  const repository = join(folder, 'repository');
  const kopia = await KopiaClient.open(program, repository);
  const dray = await DrayClient.open(repository, password, identity);
  return {
    folder,
    repository,
    kopia,
    dray,
    [Symbol.asyncDispose]: async () => {
      await kopia[Symbol.asyncDispose]();
      await dray[Symbol.asyncDispose]();
      await place[Symbol.asyncDispose]();
    },
  };
}

const mib = 1024 * 1024;

/** An image of 5 MiB and a bit: random, text, zeros in between, and a tail that is no whole sector. */
export function image(seed: number): Buffer {
  const bytes = Buffer.alloc(5 * mib + 777);
  Buffer.from(seededRng(seed).bytes(mib + 4096)).copy(bytes, 4096);
  bytes.fill(`line of text ${seed}\n`, 3 * mib, 4 * mib + 100);
  bytes.fill(seed % 255, bytes.length - 10);
  return bytes;
}

/** A folder with the image alone, and another with a few files. */
export async function writeSources(
  folder: string,
  bytes: Uint8Array,
): Promise<{ readonly image: string; readonly volume: string; readonly files: string }> {
  const volume = join(folder, 'volume');
  const files = join(folder, 'files');
  await mkdir(join(files, 'inner'), { recursive: true });
  await mkdir(volume, { recursive: true });
  await writeFile(join(volume, 'disk.img'), bytes);
  await writeFile(join(files, 'empty'), '');
  await writeFile(join(files, 'text.txt'), 'words and words '.repeat(4000));
  await writeFile(join(files, 'inner', 'random.bin'), seededRng(bytes.length).bytes(70_001));
  return { image: join(volume, 'disk.img'), volume, files };
}
