import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { Interrupted } from './cli-error.ts';

export interface PromptStreams {
  /** A terminal: readline switches its echo off. */
  readonly input: NodeJS.ReadableStream;
  /** Where the question goes: stderr, so that stdout stays the result's. */
  readonly output: { write(text: string): unknown };
}

/**
 * Asks for one line without echo. Line editing works as usual; Ctrl-C, or the end of the input, ends it.
 * @throws {Interrupted} on Ctrl-C, because a terminal in raw mode sends no signal; the reason of `signal` on an abort
 */
export async function promptSecret(
  question: string,
  { input, output }: PromptStreams,
  { signal }: { readonly signal: AbortSignal },
): Promise<string> {
  signal.throwIfAborted();
  output.write(question);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input, output: nowhere, terminal: true, historySize: 0 });
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  lines.once('line', resolve);
  lines.once('SIGINT', () => reject(new Interrupted('SIGINT')));
  lines.once('close', () => resolve(''));
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
    lines.close();
    output.write('\n');
  }
}
