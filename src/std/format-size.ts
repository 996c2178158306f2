const prefixes = 'KMGTP';

/** `0 B`, `1023 B`, `1.5 KiB`, `128 GiB`: three significant digits, four from 1000 on, without zeros behind the point. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${Math.floor(bytes)} B`;
  let value = bytes;
  let power = 0;
  // 1023.5 and more would be printed as 1024 of the smaller unit.
  while (value >= 1023.5 && power < prefixes.length) {
    value /= 1024;
    power += 1;
  }
  return `${digits3(value)} ${prefixes[power - 1]}iB`;
}

/** With the exact number behind it: `20 GiB (21474836480 bytes)`. */
export function sizeText(bytes: number): string {
  return `${formatSize(bytes)} (${bytes} bytes)`;
}

function digits3(value: number): string {
  const text = value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
