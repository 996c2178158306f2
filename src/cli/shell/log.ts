import { printable } from './printable.ts';

export const logLevels = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

/** What a command tells besides its result: on stderr, one line each. Never a secret. */
export interface CliLog {
  /** Something the user should act on, though the command goes on. */
  warn(text: string): void;
  /** What is done and why, such as the reason for reading everything. */
  info(text: string): void;
  debug(text: string): void;
}

export function createLog(say: (line: string) => void, level: LogLevel): CliLog {
  const at =
    (wanted: LogLevel, prefix: string) =>
    (text: string): void => {
      if (logLevels.indexOf(wanted) <= logLevels.indexOf(level)) say(`${prefix}${printable(text)}`);
    };
  return { warn: at('warn', 'warning: '), info: at('info', ''), debug: at('debug', 'debug: ') };
}
