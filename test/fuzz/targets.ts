import { binaryTargets } from './binary-targets.ts';
import { compressedTargets, kopiaStreams } from './compressed-targets.ts';
import { exampleRepository } from './example-inputs.ts';
import type { FuzzTarget } from './fuzz-target.ts';
import { jsonTargets } from './json-targets.ts';
import { nbdTargets } from './nbd-targets.ts';
import { textTargets } from './text-targets.ts';

/** Every decoder of bytes that somebody else may have written, in an order that does not change. */
export async function fuzzTargets(): Promise<readonly FuzzTarget[]> {
  const repository = await exampleRepository();
  const compressed = compressedTargets(await kopiaStreams());
  return [...binaryTargets(repository), ...compressed, ...jsonTargets(repository), ...textTargets(), ...nbdTargets()];
}
