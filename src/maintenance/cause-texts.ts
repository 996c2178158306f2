/** Chains are short; the limit keeps one that bites its tail from running for ever. */
const causesMax = 10;

/** What an error says, and what those say that it came from. */
export function causeTexts(error: Error): string[] {
  const texts: string[] = [];
  let link: unknown = error;
  while (link instanceof Error && texts.length < causesMax) {
    texts.push(link.message);
    link = link.cause;
  }
  return texts;
}
