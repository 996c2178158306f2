import { readdirSync } from 'node:fs';

/** The names in a folder of a pool, whatever they are, none when it cannot be listed: for those who look at what may be damaged. */
export function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
