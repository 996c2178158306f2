import { nameErrno } from './errno.ts';

/** What an error came from. Chains are short; the limit keeps one that bites its tail from running for ever. */
const linksMax = 10;

/** The messages of an error and of its causes: the last one says what was found. */
export function messageChain(error: Error): string {
  return chainOf(error)
    .map(({ message }) => nameErrno(message))
    .join(': ');
}

/** What says what was found. */
export function rootCause(error: Error): Error {
  return chainOf(error).at(-1) ?? error;
}

function chainOf(error: Error): Error[] {
  const chain: Error[] = [];
  for (let link: unknown = error; link instanceof Error && chain.length < linksMax; link = link.cause) chain.push(link);
  return chain;
}
