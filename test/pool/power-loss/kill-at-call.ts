/**
 * Kill -9 exactly between two calls that change the file system, where a random moment seldom falls. Node's own functions are
 * replaced by ones that count.
 */
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

/** Calls that change something, or make it durable. Before a directory is synced something was renamed. */
const counted = ['rename', 'mkdir', 'unlink', 'truncate', 'rm'] as const;
const countedOfFiles = ['sync', 'writeFile', 'truncate'] as const;

let left = 0;

type Functions = Record<string, (...args: unknown[]) => unknown>;

await using file = await fs.open(import.meta.filename);
replace(Object.getPrototypeOf(file) as Functions, countedOfFiles);
replace(fs as unknown as Functions, counted);
syncBuiltinESMExports();

/** Before the so manieth call from now on this process is killed; 0: never. */
export function killAtCall(count: number): void {
  left = count;
}

function replace(object: Functions, names: readonly string[]): void {
  for (const name of names) {
    const original = object[name]!;
    object[name] = function (this: unknown, ...args: unknown[]): unknown {
      if (left > 0) {
        left -= 1;
        if (left === 0) process.kill(process.pid, 'SIGKILL');
      }
      return original.apply(this, args);
    };
  }
}
