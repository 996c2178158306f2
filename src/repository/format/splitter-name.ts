/**
 * The names of Kopia's splitters (`repo/splitter`). Reading needs none of them, and volumes are cut at fixed positions
 * whatever the format says, so any name is accepted in an existing repository; a new one gets a name that Kopia knows.
 */
const sizesBytes: Readonly<Record<string, number>> = {
  '128K': 128 * 1024,
  '256K': 256 * 1024,
  '512K': 512 * 1024,
  '1M': 1024 * 1024,
  '2M': 2 * 1024 * 1024,
  '4M': 4 * 1024 * 1024,
  '8M': 8 * 1024 * 1024,
};

const pattern = /^(?:FIXED-(\d+[KM])|DYNAMIC-(\d+[KM])-(BUZHASH|RABINKARP))$/;

export function isSplitterName(name: string): boolean {
  if (name === 'FIXED' || name === 'DYNAMIC') return true;
  const match = pattern.exec(name);
  return match !== null && Object.hasOwn(sizesBytes, match[1] ?? match[2] ?? '');
}

/** The length of every chunk but the last, for `FIXED` and `FIXED-*`; undefined for every other name. */
export function fixedSplitterSizeBytes(name: string): number | undefined {
  if (name === 'FIXED') return sizesBytes['4M'];
  const size = pattern.exec(name)?.[1];
  return size === undefined ? undefined : sizesBytes[size];
}

/** The hash, and the average length of a chunk, of `DYNAMIC` and `DYNAMIC-*`; undefined for every other name. */
export function dynamicSplitter(
  name: string,
): { readonly family: 'BUZHASH' | 'RABINKARP'; readonly averageBytes: number } | undefined {
  const match = pattern.exec(name === 'DYNAMIC' ? 'DYNAMIC-4M-BUZHASH' : name);
  const averageBytes = sizesBytes[match?.[2] ?? ''];
  if (averageBytes === undefined) return undefined;
  return { family: match?.[3] === 'RABINKARP' ? 'RABINKARP' : 'BUZHASH', averageBytes };
}
