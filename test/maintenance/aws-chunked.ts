/**
 * The body of a signed upload in pieces: `SIZE[;chunk-signature=…]\r\n`, so many bytes, `\r\n`, up to a piece of none, then
 * trailers or nothing (AWS: "Signature calculations … transferring payload in multiple chunks"). Signatures are not checked.
 */
const lineEnd = Buffer.from('\r\n');

/** @throws {Error} when the body ends early or is not made like that */
export function decodeChunked(body: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; ;) {
    const end = body.indexOf(lineEnd, at);
    const header = /^([0-9a-f]+)(?:;|$)/i.exec(end < 0 ? '' : body.toString('latin1', at, end));
    if (header === null) throw new Error(`no piece begins at byte ${at} of ${body.length}`);
    const size = Number.parseInt(header[1]!, 16);
    if (size === 0) return Buffer.concat(pieces);
    const start = end + lineEnd.length;
    if (start + size > body.length) throw new Error(`a piece of ${size} bytes does not fit`);
    pieces.push(body.subarray(start, start + size));
    at = start + size + lineEnd.length;
  }
}
