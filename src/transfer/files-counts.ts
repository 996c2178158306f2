/** What a restore of files has done so far. */
import assert from 'node:assert/strict';

import type { Fetched, FilesFetched } from './fetch-messages.ts';

export interface FilesCounts {
  files: number;
  links: number;
  folders: number;
  /** Of the files and links, those that an earlier run had made. */
  kept: number;
  omitted: number;
  doneBytes: number;
  fetchedBytes: number;
  packedBytes: number;
  writtenBytes: number;
}

/** What was fetched for files, and what of it came to nothing. */
export function filesFetched(answer: Fetched): FilesFetched {
  assert('failures' in answer);
  return answer as FilesFetched;
}

export function addBytes(counts: FilesCounts, { fetchedBytes, packedBytes, writtenBytes }: Fetched): void {
  counts.fetchedBytes += fetchedBytes;
  counts.packedBytes += packedBytes;
  counts.writtenBytes += writtenBytes;
}
