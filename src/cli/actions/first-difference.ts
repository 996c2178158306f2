import { type FileHandle, open } from 'node:fs/promises';

const blockBytes = 4 * 1024 * 1024;

/** The first byte in which two files differ (the end of the shorter one counts), or `undefined` when they are equal. */
export async function firstDifference(
  a: string,
  b: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<number | undefined> {
  await using left = await open(a, 'r');
  await using right = await open(b, 'r');
  const buffers = [Buffer.alloc(blockBytes), Buffer.alloc(blockBytes)] as const;
  for (let offset = 0; ; offset += blockBytes) {
    signal.throwIfAborted();
    const [one, other] = await Promise.all([readBlock(left, buffers[0], offset), readBlock(right, buffers[1], offset)]);
    if (!one.equals(other)) return offset + differenceOf(one, other);
    if (one.length < blockBytes) return undefined;
  }
}

/** A whole block, or less at the end of the file only. */
async function readBlock(file: FileHandle, buffer: Buffer, offset: number): Promise<Buffer> {
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

function differenceOf(one: Buffer, other: Buffer): number {
  const length = Math.min(one.length, other.length);
  for (let at = 0; at < length; at++) if (one[at] !== other[at]) return at;
  return length;
}
