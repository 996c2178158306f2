import type { CliContext } from './shell/cli-context.ts';
import type { ExitCode } from './shell/exit-code.ts';

/** What a command does once its options are known: call, print, and say how it ended. Failures are thrown. */
export type Action<Options> = (context: CliContext, options: Options) => Promise<ExitCode>;

export async function run<Options>(context: CliContext, action: Action<Options>, options: Options): Promise<void> {
  context.exitCode = await action(context, options);
}

/** Examples at the end of a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}\n`).join('')}`;
}
