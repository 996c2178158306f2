/** Whether a file system is frozen, told by others who write to it: to freeze it, to see whether that is refused, would get in the way. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Ends when it is written and synced; a writer that hangs is killed. */
export async function canWrite(folder: string, withinSeconds = 60): Promise<boolean> {
  const command = `echo x > ${join(folder, 'probe')} && sync -f ${folder}`;
  const writer = spawn('timeout', ['-s', 'KILL', String(withinSeconds), 'sh', '-c', command]);
  const [code] = (await once(writer, 'exit')) as [number | null];
  return code === 0;
}

/** Resolves when a writer hangs. */
export async function untilFrozen(folder: string): Promise<void> {
  for (let isFrozen = false; !isFrozen;) {
    const writer = spawn('sh', ['-c', `echo x > ${join(folder, 'probe')}`]);
    for (let looks = 0; looks < 50 && writer.exitCode === null; looks += 1) await sleep(20);
    isFrozen = writer.exitCode === null;
  }
}
