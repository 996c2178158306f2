/** Freezes what its argument names, tells its guard's number, and hangs until it is killed. */
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { FreezeGuard } from '../../src/kernel/freeze-guard.ts';
import { systemClock } from '../../src/std/clock.ts';

const [mountPoint = '', boundMs = ''] = process.argv.slice(2);
const { signal } = new AbortController();
const guard = await FreezeGuard.start([{ path: mountPoint, folder: await open(mountPoint, 'r') }], {
  boundMs: Number(boundMs),
  clock: systemClock,
  signal,
});
await guard.freeze();
process.stdout.write(`${guard.pid}\n`);
await sleep(600_000);
