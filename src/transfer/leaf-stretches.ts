import type { FetchLeaf } from './fetch-messages.ts';

type Stretch = Pick<FetchLeaf, 'offset' | 'lengthBytes'>;

/** The stretches that leaves make up, in their order, each as long as leaf follows leaf without a gap. */
export function* touching(leaves: readonly FetchLeaf[]): Generator<Stretch> {
  let run: { offset: number; lengthBytes: number } | undefined;
  for (const leaf of leaves) {
    if (run !== undefined && run.offset + run.lengthBytes === leaf.offset) {
      run.lengthBytes += leaf.lengthBytes;
    } else {
      if (run !== undefined) yield run;
      run = { offset: leaf.offset, lengthBytes: leaf.lengthBytes };
    }
  }
  if (run !== undefined) yield run;
}
