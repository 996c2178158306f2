/**
 * Names, tags and messages come from repositories and devices that others wrote. A control character in them could move
 * the cursor or retitle the terminal, so everything printed for people passes here; JSON and YAML escape by themselves.
 */
const unprintable = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

/** The text on one line, control and direction characters as `\u{…}`. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
